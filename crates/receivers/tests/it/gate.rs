//! The gate: no route of any receiver, of the page or of nothing at all is served without credentials.

use normalize::Input;

use crate::{House, gzip, house, house_with};

fn guarded_house() -> House {
    let auth = serde_json::json!({
        "bearer": ["s3cret", { "token": "shop-token", "tenant": "shop" }],
        "basic": [{ "user": "prom", "password": "pw", "tenant": "metrics" }],
    });
    let settings = serde_json::json!({ "auth": auth, "tenant": { "header": "X-Scope-OrgID" } });
    house_with(settings, serde_json::json!({ "kong": { "aliases": ["/kong"] } }))
}

#[tokio::test]
async fn every_route_is_401_without_credentials() {
    let house = guarded_house();
    let mut paths = house.server.door().paths();
    assert!(paths.iter().any(|(path, _, _)| path == "/kong"));
    paths.push(("/ingest/cloudflare/logpush/http_requests".into(), &[http::Method::POST], true));
    for (path, methods, guarded) in paths {
        if !guarded {
            assert_eq!(path, "/grpc.health.v1.Health/Check", "only the health check is public");
            continue;
        }
        for method in methods {
            for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic !")]] {
                // A bomb that nobody opens.
                let request = house.request(method.as_str(), &path, headers, gzip(&vec![0; 1 << 20]));
                let answer = house.send(request).await;
                assert_eq!(answer.status, 401, "{method} {path} {headers:?}");
                assert!(answer.header("www-authenticate").contains("Bearer"));
            }
        }
    }
    for path in ["/nowhere", "/metrics", "/", "/v1/traces"] {
        let answer = house.send(house.request("GET", path, &[], "")).await;
        assert_eq!(answer.status, 401, "GET {path}: what exists is nobody's business");
    }
    let answer = house.send(house.request("GET", "/healthz", &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"));
    assert!(house.inputs().is_empty() && house.aside().is_empty());
    assert!(house.metrics.render().contains("kind=\"unauthenticated\""));
    house.close().await;
}

#[tokio::test]
async fn credentials_and_headers_decide_the_tenant() {
    let house = guarded_house();
    let check = async |path: &str, headers: &[(&str, &str)]| {
        let answer = house.post(path, headers, "{}\n").await;
        match &house.inputs()[..] {
            [Input::Raw(raw)] => Ok(raw.origin.tenant.to_string()),
            [] => Err(answer.status.as_u16()),
            other => panic!("{other:?}"),
        }
    };
    let plain = ("authorization", "Bearer s3cret");
    let bound = ("authorization", "Bearer shop-token");
    let basic = ("authorization", "Basic cHJvbTpwdw==");
    let logpush = "/ingest/cloudflare/logpush";
    assert_eq!(check("/kong", &[plain]).await, Ok("default".into()));
    assert_eq!(check("/kong", &[plain, ("x-scope-orgid", "web")]).await, Ok("web".into()));
    assert_eq!(check("/kong", &[plain, ("x-scope-orgid", "a/b")]).await, Err(400));
    assert_eq!(check("/kong", &[bound, ("x-scope-orgid", "web")]).await, Ok("shop".into()));
    assert_eq!(check("/kong", &[basic]).await, Ok("metrics".into()));
    assert_eq!(check(&format!("{logpush}?tenant=edge"), &[plain]).await, Ok("edge".into()));
    assert_eq!(check(&format!("{logpush}?tenant=edge"), &[bound]).await, Err(403));
    assert_eq!(check(&format!("{logpush}?tenant=shop"), &[bound]).await, Ok("shop".into()));
    house.close().await;
}

#[tokio::test]
async fn a_tenant_header_counts_for_nothing_unless_configured() {
    let house = house();
    house.post("/ingest/kong/http-log", &[("x-scope-orgid", "web")], "{}").await;
    let inputs = house.inputs();
    let [Input::Raw(raw)] = &inputs[..] else { panic!() };
    assert_eq!(raw.origin.tenant.as_str(), "default");
    house.close().await;
}
