// SPDX-License-Identifier: BSL-1.0
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use opensearch::{BulkParts, OpenSearch};

#[tokio::main]
async fn main() -> peers::Outcome<()> {
    if peers::gzip() {
        return Err("this crate does not compress requests".into());
    }
    peers::run("rust-opensearch", |url| {
        let transport = TransportBuilder::new(SingleNodeConnectionPool::new(url.parse()?)).build()?;
        let client = OpenSearch::new(transport);
        Ok(move |body| {
            let client = client.clone();
            async move { Ok(client.bulk(BulkParts::Index("logs")).body(body).send().await?.json().await?) }
        })
    })
    .await
}
