//! hyper alone on a port of its own: `yardstick [http1|http2]`. Prints where it listens.

use samovar_benches::hyper_alone;
use samovar_benches::load::Protocol;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let protocol = std::env::args().nth(1).map_or(Ok(Protocol::Http1), |name| name.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening  http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(hyper_alone::serve(stream, protocol));
    }
}
