//! What stitching costs beside a gateway that takes the same rows in and keeps them: two gateways with their embedded store, one without
//! stitching and one with it, are sent the rows of the same requests as they come, Kong's first and Logpush's when Kong's spans were told.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::Coding;
use wire::coding::compress;

use crate::Options;
use crate::drive::{open, pause, send};
use crate::gateway::{Cores, Gateway};
use crate::request::{Request, SAMPLE, Senders};

/// Requests of one batch.
const BATCH: u64 = 1_000;
/// Rows of a request: two of Cloudflare's, a Worker's run with a line of text, Kong's.
const ROWS: u64 = 5;
/// Longer than Kong's spans wait to be told.
const HOLD: Duration = Duration::from_secs(7);
/// How often each is measured; an odd number.
const ROUNDS: usize = 3;
/// The most that stitching may cost, as a share of what the gateway costs without it.
const LIMIT: f64 = 1.5;

/// Prints CPU-seconds per million rows, by what threads are for. Answers whether stitching stays within its limit.
#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let requests = options.requests.max(1);
    // In turns, since a machine has better minutes and worse.
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(measure(options, requests, false).await?);
        with.push(measure(options, requests, true).await?);
    }
    let shares = without.iter().zip(&with).map(|(without, with)| cost(with) / all(without));
    let mut shares: Vec<f64> = shares.collect();
    shares.sort_unstable_by(f64::total_cmp);
    let (without, with) = (medians(&without), medians(&with));
    println!("{requests} requests, {} rows; CPU-seconds per million rows\n", requests * ROWS);
    println!("{:<16} {:>10} {:>10}", "threads", "without", "with");
    for name in with.keys() {
        let of = |cpu: &Spent| cpu.get(name).copied().unwrap_or(0.0);
        println!("{name:<16} {:>10.2} {:>10.2}", of(&without), of(&with));
    }
    let (sum_without, sum_with) = (all(&without), all(&with));
    println!("{:<16} {sum_without:>10.2} {sum_with:>10.2}", "all");
    let share = shares[shares.len() / 2];
    let shown: Vec<String> = shares.iter().map(|share| format!("{share:.2}")).collect();
    println!(
        "\nstitching / the gateway without it: {share:.2} (limit {LIMIT}), the rounds {}",
        shown.join(" ")
    );
    println!("with it, keeping what it tells included: {:.2} times as much", sum_with / sum_without);
    Ok(share <= LIMIT)
}

/// CPU-seconds by name of thread.
type Spent = BTreeMap<String, f64>;

fn all(spent: &Spent) -> f64 {
    spent.values().sum()
}

/// What the threads of stitching and of its join store took.
fn cost(spent: &Spent) -> f64 {
    let is_stitching = |name: &str| name == "stitch" || name.starts_with("fjall");
    spent.iter().filter(|(name, _)| is_stitching(name)).map(|(_, cpu)| cpu).sum()
}

/// The median of each thread's.
fn medians(rounds: &[Spent]) -> Spent {
    let mut medians = Spent::new();
    for name in rounds.iter().flat_map(BTreeMap::keys) {
        let of = |spent: &Spent| spent.get(name).copied().unwrap_or(0.0);
        let mut each: Vec<f64> = rounds.iter().map(of).collect();
        each.sort_unstable_by(f64::total_cmp);
        medians.insert(name.clone(), each[each.len() / 2]);
    }
    medians
}

async fn measure(options: &Options, requests: u64, stitches: bool) -> Result<Spent, String> {
    let settings = format!("stitch: {{ enabled: {stitches} }}\n");
    // It is waited for until its files are written.
    let sinks = [("store", "flush_age: 5s".to_owned())];
    let folder = options.folder.as_deref();
    let mut gateway = Gateway::start(&options.gateway, folder, &sinks, &settings, Cores::All).await?;
    let later = testkit::process::now().as_millis() as u64 - SAMPLE;
    let before = gateway.cpu_by_thread()?;
    let senders = Senders::new()?;
    let mut stream = open(gateway.port()).await?;
    for is_kongs_turn in [true, false] {
        for first in (0..requests).step_by(BATCH as usize) {
            let numbers = first..(first + BATCH).min(requests);
            let batch: Vec<Request> = numbers.map(|number| Request::new(number, later)).collect();
            let [edge, worker, kong, _] = senders.bodies(&batch);
            if is_kongs_turn {
                send(&mut stream, kong, "").await?;
            } else {
                for (path, kind, body) in [edge, worker] {
                    let body = compress(Coding::Gzip, 6, &body);
                    send(&mut stream, (path, kind, body), "content-encoding: gzip\r\n").await?;
                }
            }
        }
        idle(&gateway).await?;
    }
    let after = gateway.cpu_by_thread()?;
    gateway.stop().await?;
    let million = (requests * ROWS) as f64 / 1e6;
    let spent = after.into_iter().map(|(name, cpu)| {
        let spent = cpu - before.get(&name).copied().unwrap_or(0.0);
        (name, spent / million)
    });
    Ok(spent.filter(|(_, cpu)| *cpu >= 0.05).collect())
}

/// Waits until sinks have everything and what waits to be told was told.
async fn idle(gateway: &Gateway) -> Result<(), String> {
    for _ in 0..2 {
        while gateway.held().await? > 0 {
            pause().await;
        }
        tokio::time::sleep(HOLD).await; // waits for time: Kong's spans are told after the hold
    }
    Ok(())
}
