//! A list of equal peers. One that cannot be reached, or says that it cannot serve, is left out for a time that grows while it stays so;
//! when the time is over, one request tries it. Within one delivery each of the others is tried once.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use model::{Failure, Problem};
use tokio::time::Instant;

use super::answer::BODY_LIMIT;
use super::{Answer, Client, Payload, settings};

/// How long an endpoint is left out after its first failure; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest that it is left out, unless it asks for more itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What an endpoint may ask for by Retry-After; beyond, it is tried all the same.
const LONGEST_WISH: Duration = Duration::from_secs(600);

/// Which of several good endpoints is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// The one that answered last, as long as it answers: what is sent in order arrives at one place in order.
    Same,
    /// Each in turn.
    Next,
}

/// The peers, at least one.
#[derive(Debug)]
pub(crate) struct Endpoints {
    urls: Vec<Uri>,
    prefer: Prefer,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Where the next round begins.
    at: usize,
    health: Vec<Health>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    /// Failures in a row.
    failures: u32,
    /// Until when it is left out.
    until: Option<Instant>,
}

impl Endpoints {
    /// `None` for an empty list.
    pub(crate) fn new(urls: Vec<Uri>, prefer: Prefer) -> Option<Self> {
        let state = Mutex::new(State { at: 0, health: vec![Health::default(); urls.len()] });
        (!urls.is_empty()).then_some(Self { urls, prefer, state })
    }

    /// Who they are, whatever is asked of them.
    pub(crate) fn hosts(&self) -> BTreeSet<&str> {
        self.urls.iter().filter_map(|url| Some(url.authority()?.as_str())).collect()
    }

    /// As `send`, by POST.
    pub(crate) async fn post(
        &self,
        client: &Client,
        headers: &HeaderMap,
        body: &Payload,
        away: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, Failure> {
        self.send(client, &Method::POST, headers, body, away).await
    }

    /// Sends to one of them after the other until one answers and is not `away` by its answer. If none does, the last word heard is
    /// the result.
    pub(crate) async fn send(
        &self,
        client: &Client,
        method: &Method,
        headers: &HeaderMap,
        body: &Payload,
        away: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, Failure> {
        self.send_within(BODY_LIMIT, client, method, headers, body, away).await
    }

    /// As `send`; at most `limit` bytes of the answer's body are read.
    pub(crate) async fn send_within(
        &self,
        limit: usize,
        client: &Client,
        method: &Method,
        headers: &HeaderMap,
        body: &Payload,
        away: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, Failure> {
        let ask = |url| client.request(method.clone(), url, headers.clone(), body.clone(), limit);
        if let [url] = &self.urls[..] {
            return ask(url).await;
        }
        let mut heard = None;
        for number in self.round() {
            let attempt = self.attempt(number);
            match ask(&self.urls[number]).await {
                Ok(answer) if away(&answer) => {
                    attempt.failed(answer.after);
                    heard = Some(Ok(answer));
                }
                Ok(answer) => {
                    attempt.answered();
                    return Ok(answer);
                }
                Err(failure) => {
                    attempt.failed(None);
                    heard = Some(Err(failure));
                }
            }
        }
        let mut heard = heard.expect("a round has at least one endpoint");
        // What one of them asks for need not hold up the others.
        if let Ok(Answer { after: Some(after), .. }) = &mut heard {
            *after = (*after).min(self.soonest());
        }
        heard
    }

    /// The endpoints to try in this delivery, in order: those that are not left out, else the one that is to come back first.
    fn round(&self) -> Vec<usize> {
        let now = Instant::now();
        let count = self.urls.len();
        let mut state = self.state();
        let from = state.at;
        if self.prefer == Prefer::Next {
            state.at = (from + 1) % count;
        }
        let good = |number: &usize| state.health[*number].until.is_none_or(|until| until <= now);
        let round: Vec<usize> = (0..count).map(|step| (from + step) % count).filter(good).collect();
        if !round.is_empty() {
            return round;
        }
        (0..count).min_by_key(|number| state.health[*number].until).into_iter().collect()
    }

    /// Begins one request. One that failed before is left out for all others while this one tries it.
    fn attempt(&self, number: usize) -> Attempt<'_> {
        let health = &mut self.state().health[number];
        if health.failures > 0 {
            health.until = Some(Instant::now() + pause(health.failures));
        }
        Attempt { endpoints: self, number, over: false }
    }

    /// How long until the first of them may be tried again.
    fn soonest(&self) -> Duration {
        let now = Instant::now();
        let waits = |health: &Health| {
            health.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
        };
        self.state().health.iter().map(waits).min().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request to one endpoint. Dropped without an end (the courier's deadline), it counts as failed: a peer that takes requests and
/// says nothing is away too.
struct Attempt<'a> {
    endpoints: &'a Endpoints,
    number: usize,
    over: bool,
}

impl Attempt<'_> {
    fn answered(mut self) {
        self.over = true;
        let mut state = self.endpoints.state();
        state.health[self.number] = Health::default();
        if self.endpoints.prefer == Prefer::Same {
            state.at = self.number;
        }
    }

    fn failed(mut self, wish: Option<Duration>) {
        self.over = true;
        self.leave_out(wish);
    }

    fn leave_out(&self, wish: Option<Duration>) {
        let health = &mut self.endpoints.state().health[self.number];
        health.failures = health.failures.saturating_add(1);
        let wish = wish.unwrap_or_default().min(LONGEST_WISH);
        health.until = Some(Instant::now() + pause(health.failures).max(wish));
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.leave_out(None);
        }
    }
}

/// Between half and the whole of the doubled pause, so that many gateways do not come back in one wave.
fn pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Checks a list of URLs, or the one that stands for a list of one: exactly one of both is to be given.
pub(crate) fn one_or_list<'a>(
    (one_path, one): (&str, Option<&'a str>),
    (list_path, list): (&str, &'a [String]),
    example: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Uri> {
    let remedy = format!("write for example {example}");
    match (one, list) {
        (Some(_), [_, ..]) => {
            let message = format!("is given beside {one_path}");
            problems.push(Problem::new(list_path, message, format!("put all of them into {list_path}")));
            Vec::new()
        }
        (None, []) => {
            problems.push(Problem::new(
                one_path,
                format!("neither {one_path} nor {list_path} is given"),
                remedy,
            ));
            Vec::new()
        }
        (Some(one), []) => settings::url(one_path, one, problems).into_iter().collect(),
        (None, list) => {
            let mut urls: Vec<Uri> = Vec::new();
            for (number, text) in list.iter().enumerate() {
                let path = format!("{list_path}[{number}]");
                match settings::url(&path, text, problems) {
                    Some(url) if urls.contains(&url) => {
                        problems.push(Problem::new(path, "is in the list already", "remove it"));
                    }
                    url => urls.extend(url),
                }
            }
            urls
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Speak;
    use crate::fixture::SetClock;
    use std::sync::Arc;
    use testkit::peer::{Peer, Reply};

    fn three(prefer: Prefer) -> Endpoints {
        let urls = ["http://a", "http://b", "http://c"].map(|url| url.parse().unwrap());
        Endpoints::new(urls.to_vec(), prefer).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_answered_last_is_kept() {
        let endpoints = three(Prefer::Same);
        for _ in 0..3 {
            assert_eq!(endpoints.round(), [0, 1, 2]);
        }
        endpoints.attempt(0).failed(None);
        endpoints.attempt(1).answered();
        assert_eq!(endpoints.round(), [1, 2]);
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(endpoints.round(), [1, 2, 0], "that the first is back moves nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn without_order_they_take_turns() {
        let endpoints = three(Prefer::Next);
        assert_eq!(
            [endpoints.round(), endpoints.round(), endpoints.round()].map(|round| round[0]),
            [0, 1, 2]
        );
        endpoints.attempt(1).failed(None);
        assert_eq!([endpoints.round(), endpoints.round()], [vec![0, 2], vec![2, 0]]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_to_a_minute_and_ends_with_the_first_answer() {
        let endpoints = three(Prefer::Same);
        let left_out = || {
            let until = endpoints.state().health[0].until;
            until.map_or(Duration::ZERO, |until| until - Instant::now())
        };
        for whole in [1, 2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs) {
            endpoints.attempt(0).failed(None);
            assert!(left_out() >= whole / 2 && left_out() <= whole, "{:?} of {whole:?}", left_out());
        }
        for _ in 0..100 {
            endpoints.attempt(0).failed(None);
        }
        assert!(left_out() <= LONGEST_PAUSE);
        endpoints.attempt(0).answered();
        endpoints.attempt(0).failed(Some(Duration::from_secs(9)));
        assert_eq!(left_out(), Duration::from_secs(9));
        endpoints.attempt(0).failed(Some(Duration::MAX));
        assert_eq!(left_out(), LONGEST_WISH);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_tries_an_endpoint_whose_time_is_over() {
        let endpoints = three(Prefer::Same);
        endpoints.attempt(0).failed(None);
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(endpoints.round(), [0, 1, 2]);
        let trying = endpoints.attempt(0);
        assert_eq!(endpoints.round(), [1, 2], "while it is tried");
        drop(trying);
        assert_eq!(endpoints.round(), [1, 2], "no answer before the deadline is a failure");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_away_the_one_that_is_to_come_back_first_is_tried() {
        let endpoints = three(Prefer::Same);
        for (number, wish) in [(0, 300), (1, 100), (2, 200)] {
            endpoints.attempt(number).failed(Some(Duration::from_secs(wish)));
        }
        assert_eq!(endpoints.round(), [1]);
        assert_eq!(endpoints.soonest(), Duration::from_secs(100));
    }

    #[tokio::test]
    async fn a_delivery_goes_on_to_the_next_endpoint_and_the_next_delivery_begins_there() {
        let busy = Peer::start(Reply::status(503).header("retry-after", "500")).await;
        let good = Peer::start(Reply::status(200)).await;
        // The port of a listener that is gone: nobody is there.
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let urls = [format!("http://{gone}/"), busy.url("/"), good.url("/")].map(|url| url.parse().unwrap());
        let endpoints = Endpoints::new(urls.to_vec(), Prefer::Same).unwrap();
        let client = Client::open(Speak::Http, None, HeaderMap::new(), Arc::new(SetClock::new())).unwrap();
        let body = Payload::from(bytes::Bytes::from_static(b"body"));
        let headers = HeaderMap::new();
        let post = || endpoints.post(&client, &headers, &body, |answer| answer.status.is_server_error());
        assert_eq!(post().await.unwrap().status, 200);
        assert_eq!(post().await.unwrap().status, 200);
        assert_eq!((busy.seen().len(), good.seen().len()), (1, 2));
        assert_eq!(good.seen()[0].body, "body");
        // The only good one fails too: its word is the result, but its wish holds up nobody for longer than the others need.
        good.then(Reply::status(502).header("retry-after", "400"));
        let answer = post().await.unwrap();
        assert_eq!(answer.status, 502);
        assert!(answer.after.unwrap() <= FIRST_PAUSE * 2, "{:?}", answer.after);
    }

    #[test]
    fn one_url_or_a_list_is_given_and_nothing_twice() {
        let check = |one: Option<&str>, list: &[&str]| {
            let list: Vec<String> = list.iter().map(|url| (*url).to_owned()).collect();
            let mut problems = Vec::new();
            let urls = one_or_list(("url", one), ("urls", &list), "http://peer", &mut problems);
            (urls.len(), problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>())
        };
        assert_eq!(check(Some("http://a"), &[]), (1, vec![]));
        assert_eq!(check(None, &["http://a", "http://b"]), (2, vec![]));
        assert_eq!(check(None, &[]), (0, vec!["url".to_owned()]));
        assert_eq!(check(Some("http://a"), &["http://b"]), (0, vec!["urls".to_owned()]));
        assert_eq!(check(None, &["http://a", "b", "http://a"]).1, ["urls[1]", "urls[2]"]);
    }
}
