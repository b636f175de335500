// SPDX-License-Identifier: BSL-1.0
use elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use elasticsearch::{BulkParts, Elasticsearch};

#[tokio::main]
async fn main() -> peers::Outcome<()> {
    peers::run("rust-elasticsearch", |url| {
        let transport = TransportBuilder::new(SingleNodeConnectionPool::new(url.parse()?))
            .request_body_compression(peers::gzip())
            .build()?;
        let client = Elasticsearch::new(transport);
        Ok(move |body| {
            let client = client.clone();
            async move { Ok(client.bulk(BulkParts::Index("logs")).body(body).send().await?.json().await?) }
        })
    })
    .await
}
