#[allow(dead_code)]
mod queue;

use std::io::{Read, Write};
use std::time::SystemTime;

fn main() -> anyhow::Result<()> {
    let cwd = std::env::current_dir()?;
    let spool = cwd.join(".spool");
    if std::env::args().nth(1).as_deref() == Some("drain") {
        let mut out = std::io::BufWriter::new(std::io::stdout());
        for signal in queue::drain_all(&spool)? {
            writeln!(out, "{}", serde_json::to_string(&signal)?)?;
        }
        return Ok(out.flush()?);
    }
    let mut event = String::new();
    std::io::stdin().read_to_string(&mut event)?;
    let fields: serde_json::Value = serde_json::from_str(&event)?;
    let signal = queue::DistillSignal {
        recorded_at: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
        tool_name: fields["tool_name"].as_str().map(String::from),
        cwd: cwd.to_string_lossy().into(),
        payload: Some(event),
    };
    queue::append(&spool, &signal, queue::DEFAULT_LRU_CAP)
}
