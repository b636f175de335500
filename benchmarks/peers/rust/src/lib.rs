// SPDX-License-Identifier: BSL-1.0
//! What both clients share. Neither has a bulk helper, so this is the loop a user would write: WORKERS tasks, each
//! filling a body and awaiting its answer. Of the answer only `errors` is read.
use std::{env, error::Error, fs, future::Future, mem, ops::AddAssign, time::Instant};

/// Documents live as long as the process: tasks may then borrow them.
pub type Lines = Vec<&'static [u8]>;
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(serde::Deserialize)]
pub struct Answer {
    pub errors: bool,
}

pub fn gzip() -> bool {
    env::var("GZIP").is_ok_and(|value| value == "1")
}

#[derive(Default)]
struct Count {
    indexed: usize,
    failed: usize,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.indexed += other.indexed;
        self.failed += other.failed;
    }
}

struct Job {
    documents: &'static [Vec<u8>],
    count: usize,
    batch_bytes: usize,
}

impl Job {
    async fn run<S, F>(self, send: S) -> Outcome<Count>
    where
        S: Fn(Lines) -> F,
        F: Future<Output = Outcome<Answer>>,
    {
        let action: &'static [u8] = br#"{"create":{}}"#;
        let mut total = Count::default();
        let mut body = Lines::new();
        let mut bytes = 0;
        for document in self.documents.iter().cycle().take(self.count) {
            let size = action.len() + document.len() + 2;
            if bytes + size > self.batch_bytes && !body.is_empty() {
                total += post(&send, mem::take(&mut body)).await?;
                bytes = 0;
            }
            body.extend([action, document]);
            bytes += size;
        }
        if !body.is_empty() {
            total += post(&send, body).await?;
        }
        Ok(total)
    }
}

async fn post<S, F>(send: &S, body: Lines) -> Outcome<Count>
where
    S: Fn(Lines) -> F,
    F: Future<Output = Outcome<Answer>>,
{
    let documents = body.len() / 2;
    let answer = send(body).await?;
    let failed = if answer.errors { documents } else { 0 };
    Ok(Count { indexed: documents - failed, failed })
}

fn load_documents(document_bytes: usize) -> Outcome<Vec<Vec<u8>>> {
    let text = match env::var_os("DOCS_FILE") {
        Some(path) => fs::read(path)?,
        None => format!("{{\"m\":\"{}\"}}", "x".repeat(document_bytes - 8)).into_bytes(),
    };
    Ok(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

fn from_environment(name: &str, otherwise: usize) -> Outcome<usize> {
    Ok(env::var(name).ok().filter(|value| !value.is_empty()).map_or(Ok(otherwise), |value| value.parse())?)
}

/// Seconds of CPU and the peak of memory in KiB.
fn usage() -> (f64, i64) {
    // SAFETY: all zeros is a valid rusage, which the call then fills.
    let used = unsafe {
        let mut used = mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &mut used);
        used
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    (seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_maxrss)
}

/// Sends what the command line asks for through the function that `connect` makes from the server's address.
pub async fn run<C, S, F>(peer: &str, connect: C) -> Outcome<()>
where
    C: FnOnce(&str) -> Outcome<S>,
    S: Fn(Lines) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Outcome<Answer>> + Send + 'static,
{
    let numbers = env::args().skip(1).map(|argument| argument.parse()).collect::<Result<Vec<usize>, _>>()?;
    let [port, count, document_bytes] = numbers[..] else { return Err("usage: PORT DOCS DOC_BYTES".into()) };
    let documents: &'static [Vec<u8>] = load_documents(document_bytes)?.leak();
    let batch_bytes = from_environment("BATCH_BYTES", 5 << 20)?;
    let workers = from_environment("WORKERS", 1)?.max(1);
    let send = connect(&format!("http://127.0.0.1:{port}"))?;

    let (cpu_before, _) = usage();
    let began = Instant::now();
    let mut tasks = Vec::new();
    for worker in 0..workers {
        let share = count / workers + usize::from(worker < count % workers);
        tasks.push(tokio::spawn(Job { documents, count: share, batch_bytes }.run(send.clone())));
    }
    drop(send);
    let mut total = Count::default();
    for task in tasks {
        total += task.await??;
    }
    let wall = began.elapsed().as_secs_f64();
    let (cpu_after, rss) = usage();
    println!(
        "{{\"peer\":\"{peer}\",\"docs\":{count},\"wall_s\":{wall:.6},\"cpu_s\":{:.6},\"rss_kb\":{rss},\
         \"indexed\":{},\"failed\":{}}}",
        cpu_after - cpu_before,
        total.indexed,
        total.failed
    );
    Ok(())
}
