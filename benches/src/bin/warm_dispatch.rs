//! Answers requests without sockets, for counting instructions: the whole way from the bytes of a request to the bytes of its
//! answer, through gateway and host, or through hyper alone.
//!
//! ```text
//! warm_dispatch REQUESTS                          hyper alone
//! warm_dispatch REQUESTS COMPONENT DATA_DIR [MANIFEST]
//!     through Samovar; MANIFEST has a table [function.hello]; compiled code is kept in DATA_DIR
//! ```
//! What one request costs is the difference between two runs, divided by the difference in requests. A run before them, with
//! the same DATA_DIR, compiles the component.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use samovar_benches::in_memory::Conversation;
use samovar_benches::{hyper_alone, local};

/// The allocator of the `samovar` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// No guest is interrupted: under valgrind each would seem to compute for long.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let times: u64 = args.next().context("how many requests?")?.parse()?;
    let conversation = Conversation::new(times);
    let answered = conversation.answered();
    match args.next() {
        None => hyper_alone::serve_hello(conversation).await,
        Some(component) => {
            let data = args.next().context("where may data be kept?")?;
            let manifest = args.next().unwrap_or_else(|| "[function.hello]".to_owned());
            let gateway = local::gateway(Path::new(&data), Path::new(&component), &manifest, NEVER).await?;
            local::serve(&gateway, conversation).await;
        }
    }
    anyhow::ensure!(answered.count() == times, "{} of {times} requests were answered", answered.count());
    Ok(())
}
