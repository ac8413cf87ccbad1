//! Logins that take long, and many at once.

use crate::common::{Raw, configured, doc, login, next_text, sync, until};

fn hashed(timeout: &str, cost: u32) -> String {
    let hash = bcrypt::hash("secret", cost).unwrap();
    format!(
        "authorization {{ timeout: {timeout}
            users: [{{ user: slow, password: \"{hash}\" }}, {{ user: plain, password: p }}] }}"
    )
}

const SLOW: &str = r#"{"verbose":false,"user":"slow","pass":"secret"}"#;

#[tokio::test]
async fn who_is_in_is_served_while_a_storm_of_hashes_is_checked() {
    let server = configured(&hashed("60", 5));
    let client = login(&server, "plain", "p").await;
    let mut sub = client.subscribe("x").await.unwrap();
    sync(&client).await;
    let mut storm: Vec<Raw> = (0..40).map(|_| Raw::open(&server)).collect();
    for raw in &mut storm {
        raw.send(&format!("CONNECT {SLOW}\r\nPING\r\n"));
    }
    // A login without a hash does not queue behind them.
    login(&server, "plain", "p").await;
    for i in 0..100 {
        client.publish("x", i.to_string().into()).await.unwrap();
        assert_eq!(next_text(&mut sub).await, i.to_string());
    }
    // In the end everybody gets in, in whatever order they are looked at.
    for raw in &mut storm {
        raw.expect(&["PONG"]);
    }
}

#[tokio::test]
async fn logins_that_wait_too_long_time_out_and_the_gone_are_skipped() {
    let server = configured(&hashed("0.5", 10));
    let mut first = Raw::open(&server);
    first.send(&format!("CONNECT {SLOW}\r\nPING\r\n"));
    let storm: Vec<Raw> = (0..200).map(|_| Raw::open(&server)).collect();
    for mut raw in storm {
        raw.send(&format!("CONNECT {SLOW}\r\nPING\r\n"));
    }
    // Those have hung up: the last one does not wait for their checks.
    until("they are gone", || async {
        (doc(&server, "/varz")["connections"].as_u64() <= Some(1)).then_some(())
    })
    .await;
    first.expect(&["PONG"]);
    let mut raw = Raw::connect(&server, SLOW);
    raw.sync();

    // Sixty at once are more than half a second's work.
    let mut storm: Vec<Raw> = (0..60).map(|_| Raw::open(&server)).collect();
    for raw in &mut storm {
        raw.send(&format!("CONNECT {SLOW}\r\nPING\r\n"));
    }
    let (mut inside, mut late) = (0, 0);
    for raw in &mut storm {
        match raw.line().as_str() {
            "PONG" => inside += 1,
            "-ERR 'Authentication Timeout'" => late += 1,
            other => panic!("{other}"),
        }
    }
    assert!(inside > 0 && late > 0, "{inside} inside, {late} late");
    assert!(server.log().contains("logins wait for their bcrypt check"));
}

#[tokio::test]
async fn an_account_never_has_more_connections_than_allowed() {
    let server = configured(
        "accounts { A { users: [{user: a, password: p}], limits { max_connections: 10 } } }",
    );
    let mut threads = Vec::new();
    for _ in 0..4 {
        let mut raws: Vec<Raw> = (0..25).map(|_| Raw::open(&server)).collect();
        threads.push(std::thread::spawn(move || {
            for raw in &mut raws {
                raw.send("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"p\"}\r\nPING\r\n");
            }
            let inside = raws.iter_mut().filter_map(Raw::try_line).filter(|l| l == "PONG").count();
            (inside, raws)
        }));
    }
    let results: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(results.iter().map(|(inside, _)| inside).sum::<usize>(), 10);
}
