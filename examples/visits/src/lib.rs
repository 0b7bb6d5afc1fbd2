//! Counts its visits, page by page. The count is the platform's to keep: it is exact whatever happens to instances and hosts.

use samovar_sdk::{Request, Result, handler, kv};

#[handler]
async fn visits(req: Request) -> Result<String> {
    let page = req.uri().path();
    let count = kv::bucket("counters")?.increment(page, 1).await?;
    Ok(format!("{page}: visit {count}\n"))
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{Answer, Host};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn visit(host: &Host, path: &str) -> Answer {
        host.serve(visits, Request::get(path).body(Body::empty()).unwrap())
    }

    #[test]
    fn each_page_is_counted_by_itself() {
        let host = Host::new().kv("counters");
        assert_eq!(visit(&host, "/visits/a").text(), "/visits/a: visit 1\n");
        assert_eq!(visit(&host, "/visits/b").text(), "/visits/b: visit 1\n");
        assert_eq!(visit(&host, "/visits/a").text(), "/visits/a: visit 2\n");
    }

    #[test]
    fn without_its_bucket_it_is_a_mistake_of_the_manifest() {
        assert_eq!(visit(&Host::new(), "/visits").status, 500);
    }
}
