//! A shard's key is published and seen before the shard opens: interrupted, with bad publications, by two operators, and where a
//! log requires it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::process::{Logd, Ran, Start, logctl};
use tests::wait;

use crate::{Done, folder, run};

/// What clients see: a file server whose answers change during a test.
struct Published {
    address: SocketAddr,
    answer: Arc<Mutex<(u16, u64, String)>>,
    asked: Arc<Mutex<u64>>,
}

impl Published {
    fn start(status: u16, body: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let published = Self {
            address: listener.local_addr()?,
            answer: Arc::new(Mutex::new((status, 0, body.to_owned()))),
            asked: Arc::default(),
        };
        let (answer, asked) = (published.answer.clone(), published.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (status, age, body) = answer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                *asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                // A client that hangs up is none of this server's business.
                let _ = serve(stream, status, age, &body);
            }
        });
        Ok(published)
    }

    fn url(&self) -> String {
        format!("http://{}/trusted_root.json?token=s3cret", self.address)
    }

    fn set(&self, status: u16, body: &str) {
        self.set_aged(status, 0, body);
    }

    /// An answer that a cache has kept for so many seconds.
    fn set_aged(&self, status: u16, age: u64, body: &str) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) =
            (status, age, body.to_owned());
    }

    fn asked(&self) -> u64 {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(
    mut stream: std::net::TcpStream,
    status: u16,
    age: u64,
    body: &str,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nage: {age}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A server with the log `argon`, whose shards have keys for Sigstore's clients.
fn argon(at: &Path, rotate: &str) -> Result<Logd> {
    let logd = Logd::start_as(at, &Start::default())?;
    let document = format!(
        "apiVersion: logctl/v1\nkind: LogConfig\nlog: argon\norigin: log.example.org\noriginForm: host\nkey: {{algorithm: ecdsa-p256}}\nshards: [{{name: a, state: active}}]\nrotate: {{{rotate}}}\n"
    );
    let file = at.join("argon.yaml");
    std::fs::write(&file, document)?;
    run(at, &format!("log create {} --yes", file.display()), 0)?;
    Ok(logd)
}

/// The trusted root as it is published before the rotation, with somebody else's authority.
fn existing(at: &Path) -> Result<String> {
    let ran = run(at, "--log argon shard export --format trusted-root", 0)?;
    let mut root: Value = ran.json()?;
    root["certificateAuthorities"] = json!([{"uri": "https://ca.example.org"}]);
    Ok(root.to_string())
}

fn argon_shard(at: &Path, name: &str) -> Result<Value> {
    let ran = run(at, "--log argon shard list -o json", 0)?.json()?;
    let shards = ran["shards"].as_array().context("a list")?;
    let found = shards.iter().find(|shard| shard["name"] == name);
    Ok(found.cloned().unwrap_or_default())
}

/// `logctl shard WORDS --announce …` with exit code and what it wrote to standard error.
fn announce(at: &Path, words: &[&str], code: i32) -> Result<Ran> {
    let words = [
        &["--log", "argon", "shard"][..],
        words,
        &["--announce", "--yes"],
    ]
    .concat();
    let ran = logctl(at, &words)?.expect_code(code)?;
    ensure!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
    Ok(ran)
}

fn says(ran: &Ran, words: &str) -> Done {
    ensure!(ran.stderr.contains(words), "no {words:?} in {}", ran.stderr);
    Ok(())
}

#[test]
fn an_announced_rotation_continues_over_interruptions_and_bad_publications() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = argon(at, "")?;
    let published = Published::start(503, "")?;
    let before = existing(at)?;
    let next = at.join("next.json");
    let url = published.url();
    let publish = format!("cp $LOGCTL_TRUSTED_ROOT {}", next.display());
    let rotate = ["rotate", "--exec", &publish, "--seen-at", &url, "--timeout"];
    let with = |words: &[&'static str]| [&rotate[..], words].concat();

    // Nobody knows what is published, so nothing is published over it; the shard is planned.
    let ran = announce(at, &with(&["1s", "--settle", "300d"]), 7)?;
    says(&ran, "503")?;
    says(&ran, "--merge")?;
    ensure!(!next.exists(), "nothing is published");
    let planned = |shard: &Value| shard["state"] == "planned" && shard["announced"].is_null();
    let name = logctl(at, &["--log", "argon", "shard", "list", "-o", "json"])?.json()?;
    let name = name["shards"][1]["name"]
        .as_str()
        .context("a planned shard")?
        .to_owned();
    ensure!(planned(&argon_shard(at, &name)?));

    // The old file is there; the command publishes one with both keys and all the rest.
    published.set(200, &before);
    let ran = announce(at, &with(&["2s", "--settle", "300d"]), 7)?;
    says(&ran, "does not have it")?;
    let text = std::fs::read_to_string(&next)?;
    let root: Value = serde_json::from_str(&text)?;
    ensure!(root["tlogs"].as_array().map(Vec::len) == Some(2), "{root}");
    ensure!(root["certificateAuthorities"][0]["uri"] == "https://ca.example.org");
    ensure!(planned(&argon_shard(at, &name)?));

    // A sign-in page, and the key under an ID that no client looks for.
    published.set(200, "<html>sign in</html>");
    says(&announce(at, &with(&["1s"]), 7)?, "not a TrustedRoot")?;
    let mut wrong = root.clone();
    wrong["tlogs"][1]["logId"]["keyId"] = root["tlogs"][0]["logId"]["keyId"].clone();
    published.set(200, &wrong.to_string());
    says(&announce(at, &with(&["1s"]), 7)?, "where clients look for")?;
    ensure!(planned(&argon_shard(at, &name)?));

    // The right file comes while a run waits; the key then settles, over runs that need no more flags.
    published.set(200, &before);
    let asked = published.asked();
    let ran = std::thread::scope(|scope| -> Result<Ran> {
        let words = with(&["60s", "--settle", "300d", "-o", "json"]);
        let waits = scope.spawn(move || announce(at, &words, 7));
        wait::until("the run waits", || {
            Ok((published.asked() > asked + 1).then_some(()))
        })?;
        published.set(200, &text);
        waits.join().ok().context("a thread")?
    })?;
    let error = ran.json()?["error"].clone();
    ensure!(
        error["code"] == "announcing" && error["shard"] == name.as_str(),
        "{error}"
    );
    let record = argon_shard(at, &name)?["announced"].clone();
    let place = format!("http://{}/trusted_root.json", published.address);
    ensure!(record["seen"][0]["at"] == place.as_str(), "{record}");
    let ran = announce(at, &["rotate", "--timeout", "1s"], 7)?;
    says(&ran, "settles until")?;
    let list = run(at, "--log argon shard list", 0)?.stdout;
    ensure!(
        list.contains("announced") && list.contains("SEEN SINCE"),
        "{list}"
    );

    // A cache brings the old file back, from before the key was seen: no rotation, although the key has settled, and no publication
    // that is made from the old file.
    published.set_aged(200, 86_400, &before);
    std::fs::remove_file(&next)?;
    let ran = announce(at, &with(&["2s", "--settle", "0s"]), 7)?;
    says(&ran, "from before the key was seen")?;
    ensure!(!next.exists(), "nothing is published over what was seen");
    published.set(503, "");
    announce(at, &with(&["1s", "--settle", "0s"]), 7)?;
    ensure!(!next.exists(), "nothing is published over what was seen");
    ensure!(argon_shard(at, &name)?["state"] == "planned");
    ensure!(
        argon_shard(at, &name)?["announced"] == record,
        "the first time stays"
    );

    // Somebody else publishes a file without the key. A nightly look takes the record back, and publishes again; the time begins again.
    published.set(200, &before);
    let plan = ["plan", "--exec", &publish, "--timeout", "2s"];
    let ran = announce(at, &plan, 7)?;
    says(&ran, "does not have it")?;
    ensure!(planned(&argon_shard(at, &name)?), "the record is withdrawn");
    ensure!(next.exists(), "the key is published again");
    let ran = announce(at, &["rotate", "--settle", "0s", "--timeout", "1s"], 7)?;
    says(&ran, "does not have it")?;
    published.set(200, &text);
    announce(at, &["plan"], 0)?;
    let again = argon_shard(at, &name)?["announced"].clone();
    ensure!(again["seen"][0]["at"] == place.as_str(), "{again}");
    ensure!(
        again["since"].as_str() > record["since"].as_str(),
        "{again}"
    );

    announce(at, &["rotate", &name, "--settle", "0s"], 0)?;
    ensure!(argon_shard(at, &name)?["state"] == "active");
    // The job runs once more.
    let ran = announce(at, &["rotate", &name, "-o", "json"], 0)?;
    ensure!(ran.json()?["unchanged"] == true, "{ran:?}");
    let trail = run(at, "audit list -o json", 0)?.stdout;
    ensure!(trail.contains("\"announce\""), "{trail}");
    ensure!(trail.contains("\"withdraw\""), "{trail}");
    Ok(())
}

/// Others add an authority to the published file after the file of `--merge` was written: it publishes nothing, before the key was seen and
/// after it.
#[test]
fn an_old_file_of_merge_is_not_published_over_a_newer_one() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = argon(at, "")?;
    let old = existing(at)?;
    let mut new: Value = serde_json::from_str(&old)?;
    let authorities = new["certificateAuthorities"].as_array_mut();
    authorities
        .context("a list")?
        .push(json!({"uri": "https://new.example.org"}));
    let new = new.to_string();
    let published = Published::start(200, &new)?;
    let (merge, next) = (at.join("merge.json"), at.join("next.json"));
    std::fs::write(&merge, &old)?;
    let (url, merge) = (published.url(), merge.display().to_string());
    let publish = format!("cp $LOGCTL_TRUSTED_ROOT {}", next.display());
    let plan = ["plan", "b", "--exec", &publish, "--seen-at", &url];
    let short = ["--timeout", "1s"];
    let merging = [&plan[..], &["--merge", &merge], &short].concat();
    let refused = |why: &str| -> Done {
        says(&announce(at, &merging, 7)?, why)?;
        ensure!(!next.exists(), "an older file is published");
        Ok(())
    };
    refused("lacks what is published: the certificate authority https://new.example.org")?;
    refused("leave --merge out")?;
    announce(at, &[&plan[..], &short].concat(), 7)?;
    let text = std::fs::read_to_string(&next)?;
    let root: Value = serde_json::from_str(&text)?;
    let count = |list: &str| root[list].as_array().map(Vec::len);
    ensure!(count("certificateAuthorities") == Some(2) && count("tlogs") == Some(2));
    published.set(200, &text);
    announce(at, &plan, 0)?;

    std::fs::remove_file(&next)?;
    // The key of the next shard was never seen, but that of this one was: something is published there, and only missing now.
    published.set(404, "");
    let third = ["plan", "c", "--exec", &publish, "--seen-at", &url];
    let third = [&third[..], &["--merge", &merge], &short].concat();
    says(&announce(at, &third, 7)?, "publish it yourself")?;
    ensure!(!next.exists(), "an older file is published");
    published.set(200, &new);
    refused("leave --merge out")?;
    ensure!(argon_shard(at, "b")?["announced"].is_null(), "it is gone");
    for status in [503, 404] {
        published.set(status, "");
        refused("publish it yourself")?;
    }
    let new_root = [&plan[..], &["--new-root"], &short].concat();
    says(&announce(at, &new_root, 7)?, "publish it yourself")?;
    ensure!(!next.exists(), "the published file is lost");
    Ok(())
}

/// The key was seen at two places, and is gone from one. A command that names only the other one sees that too, and an old answer of a
/// cache is no answer.
#[test]
fn each_place_where_the_key_was_seen_counts() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = argon(at, "")?;
    let before = existing(at)?;
    run(at, "--log argon shard plan b --yes", 0)?;
    let text = existing(at)?;
    let published = Published::start(200, &text)?;
    let file = at.join("published.json");
    std::fs::write(&file, &text)?;
    let (url, place) = (published.url(), file.display().to_string());
    announce(
        at,
        &["plan", "b", "--seen-at", &url, "--seen-at", &place],
        0,
    )?;

    published.set(200, &before);
    let rotate = ["rotate", "b", "--settle", "0s", "--timeout", "1s"];
    let at_one = [&rotate[..], &["--seen-at", &place]].concat();
    let ran = announce(at, &at_one, 7)?;
    says(&ran, "does not have it")?;
    says(&ran, "the key was seen there before")?;
    let key = argon_shard(at, "b")?["ecdsaVkey"].clone();
    ensure!(argon_shard(at, "b")?["announced"].is_null(), "it is gone");
    published.set_aged(200, 86_400, &text);
    for words in [&rotate[..], &at_one] {
        says(&announce(at, words, 7)?, "from before the key was gone")?;
    }
    ensure!(argon_shard(at, "b")?["state"] == "planned");

    // A place that clients no longer use is given up with its record.
    run(at, "--log argon shard unplan b --yes", 0)?;
    announce(at, &["plan", "b", "--seen-at", &place], 0)?;
    let shard = argon_shard(at, "b")?;
    ensure!(key.is_string() && shard["ecdsaVkey"] == key, "{shard}");
    ensure!(shard["announced"]["seen"].as_array().map(Vec::len) == Some(1));
    announce(at, &rotate, 0)?;
    Ok(())
}

/// A job without a name repeats its command, as the hint says: it continues the rotation, and does not begin with the next shard.
#[test]
fn a_rotation_whose_answer_is_lost_is_not_made_twice() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = argon(at, "")?;
    let file = at.join("published.json");
    run(at, "--log argon shard plan b --yes", 0)?;
    std::fs::write(&file, existing(at)?)?;
    let place = file.display().to_string();
    announce(at, &["plan", "--seen-at", &place], 0)?;
    let words = ["rotate", "--settle", "0s", "--seen-at", &place];
    let shell = "exec \"$0\" --log argon shard \"$@\" --announce --yes >/dev/full";
    let output = std::process::Command::new("sh")
        .args(["-c", shell])
        .arg(tests::process::binary("logctl")?)
        .args(words)
        .env("LOGCTL_CONFIG", at.join("logctl.toml"))
        .env("XDG_STATE_HOME", at.join("state"))
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(8), "{error}");
    ensure!(error.contains("run the same command again"), "{error}");
    announce(at, &words, 0)?;
    let list = run(at, "--log argon shard list -o json", 0)?.json()?;
    ensure!(list["shards"].as_array().map(Vec::len) == Some(2), "{list}");
    ensure!(argon_shard(at, "b")?["state"] == "active", "{list}");
    // Now the end is known, and the next run is about the next shard.
    let ran = announce(at, &[&words[..], &["--timeout", "1s"]].concat(), 7)?;
    says(&ran, "does not have it")?;
    let list = run(at, "--log argon shard list -o json", 0)?.json()?;
    ensure!(list["shards"].as_array().map(Vec::len) == Some(3), "{list}");
    Ok(())
}

/// Sigstore's clients cannot use the keys of a log with paths in its origins: nothing is planned for them, and a rule that waits for them
/// is named.
#[test]
fn a_log_without_host_names_announces_nothing() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start_as(at, &Start::default())?;
    let file = at.join("argon.yaml");
    let text = "apiVersion: logctl/v1\nkind: LogConfig\nlog: argon\norigin: log.example.org\nshards: [{name: a, state: active}]\n";
    std::fs::write(&file, text)?;
    run(at, &format!("log create {} --yes", file.display()), 0)?;
    for words in [["plan", "b"], ["rotate", "b"]] {
        let words = [&words[..], &["--seen-at", "/srv/root.json"]].concat();
        let ran = announce(at, &words, 2)?;
        says(&ran, "originForm: path")?;
        says(&ran, "without --announce")?;
        ensure!(argon_shard(at, "b")?.is_null(), "nothing is planned");
    }
    std::fs::write(
        &file,
        format!("{text}rotate: {{requireAnnounced: true, maxEntries: 20}}\n"),
    )?;
    let diff = format!("--log argon config diff {}", file.display());
    says(&run(at, &diff, 0)?, "`logctl` cannot")?;
    let using = format!("--log argon shard --use-config {} --yes", file.display());
    says(&run(at, &using, 0)?, "unusable-keys")?;
    // It runs now: the next change does not repeat it, and the doctor says what to do.
    let doctor = run(at, "doctor", 0)?.stdout;
    ensure!(
        doctor.contains("requireAnnounced") && !doctor.contains("plan --announce"),
        "{doctor}"
    );
    run(at, "--log argon shard plan b --yes", 0)?;
    let ran = run(at, "--log argon shard rotate --yes", 6)?;
    says(&ran, "remove `rotate.requireAnnounced`")?;
    // A forced rotation warns of what is left to do, not of how to force it.
    let ran = run(at, "--log argon shard rotate --force --yes", 0)?;
    says(&ran, "publish the trusted root now")?;
    ensure!(!ran.stderr.contains("--force"), "{}", ran.stderr);
    Ok(())
}

#[test]
fn two_operators_announce_one_shard() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = argon(at, "")?;
    let file = at.join("published.json");
    let place = file.display().to_string();
    // As a whole: the other one may look in between.
    let publish = format!("cp $LOGCTL_TRUSTED_ROOT {place}.$$ && mv {place}.$$ {place}");
    let bare = ["plan", "--exec", &publish, "--seen-at", &place];
    // A wrong address looks as if nothing was published.
    let early = [&bare[..], &["--timeout", "1s"]].concat();
    let ran = announce(at, &early, 2)?;
    says(&ran, "add --merge FILE or --new-root")?;
    // Without a command to publish, waiting alone helps nobody.
    let idle = ["plan", "--seen-at", &place, "--timeout", "1s"];
    let ran = announce(at, &idle, 7)?;
    says(&ran, "add --exec COMMAND")?;
    ensure!(!file.exists(), "nothing is published by mistake");
    let words = [&bare[..], &["--new-root"]].concat();
    let both = std::thread::scope(|scope| {
        let runs = [(); 2].map(|()| scope.spawn(|| announce(at, &words, 0)));
        runs.map(|run| run.join().ok().context("a thread"))
    });
    for ran in both {
        says(&ran??, "looking for the key")?;
    }
    let list = run(at, "--log argon shard list -o json", 0)?.json()?;
    let shards = list["shards"].as_array().context("a list")?;
    ensure!(shards.len() == 2, "one shard is planned: {list}");
    ensure!(
        shards[1]["announced"]["seen"].as_array().map(Vec::len) == Some(1),
        "{list}"
    );
    // A mistake is found before anything is planned, and a command that fails ends the run.
    let wrong = [
        "plan",
        "x",
        "--seen-at",
        "http://example.org/a",
        "--timeout",
        "1s",
    ];
    announce(at, &wrong, 2)?;
    ensure!(argon_shard(at, "x")?.is_null());
    let fails = [
        "plan",
        "x",
        "--exec",
        "exit 3 # s3cret",
        "--seen-at",
        &place,
    ];
    says(&announce(at, &fails, 2)?, "exit status: 3")?;
    ensure!(argon_shard(at, "x")?["state"] == "planned");
    Ok(())
}

#[test]
fn a_log_that_requires_announcements_rotates_by_size_when_the_key_was_seen() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = argon(at, "requireAnnounced: true, settle: 0s, maxEntries: 20")?;
    for n in 0..20 {
        let add = logd
            .http()
            .post("/argon/add", &[], format!("{n}").as_bytes());
        add?.expect_status(200)?;
    }
    wait::until("the rotation is held back", || {
        let status = run(at, "--log argon status", 0)?.stdout;
        Ok(status.contains("held back").then_some(()))
    })?;
    let doctor = logctl(at, &["doctor", "-o", "json"])?.stdout;
    ensure!(
        doctor.contains("held back") && doctor.contains("--announce"),
        "{doctor}"
    );
    let ran = run(at, "--log argon shard rotate --yes", 6)?;
    says(&ran, "is not planned yet, so no client has its key")?;
    says(&ran, "--announce")?;

    let file = at.join("published.json");
    std::fs::write(&file, existing(at)?)?;
    let place = file.display().to_string();
    let publish = format!("cp $LOGCTL_TRUSTED_ROOT {place}");
    announce(
        at,
        &["plan", "b", "--exec", &publish, "--seen-at", &place],
        0,
    )?;
    wait::until("the server rotates by itself", || {
        Ok((argon_shard(at, "b")?["state"] == "active").then_some(()))
    })?;
    // A file from before the record is planned and applied, and the record stays.
    let file = at.join("settings.yaml");
    let settings = run(at, "--log argon config show", 0)?.stdout;
    let (head, tail) = settings.split_once("    announced:").context("a record")?;
    let tail = tail.split_once("rotate:").context("the rest")?.1;
    let kept = tail.contains("announced:");
    ensure!(!kept, "{settings}");
    let settings = format!("{head}rotate:{tail}").replace("maxEntries: 20", "maxEntries: 30");
    std::fs::write(&file, settings)?;
    let plan = at.join("plan.json").display().to_string();
    run(
        at,
        &format!("--log argon config plan {} -o {plan}", file.display()),
        0,
    )?;
    run(at, &format!("--log argon config apply {plan} --yes"), 0)?;
    // Over a restart the record is what it was. Its first checkpoint would be a difference.
    let before = wait::until("the shard is published", || {
        let shard = argon_shard(at, "b")?;
        Ok((shard["published"].is_u64() && shard["rootHash"].is_string()).then_some(shard))
    })?;
    logd.kill()?;
    let _logd = Logd::start(at)?;
    let after = argon_shard(at, "b")?;
    ensure!(
        before["announced"].is_object() && after == before,
        "{after} where it was {before}"
    );
    // Without a word the next one waits again; with force it opens, on record.
    let ran = run(at, "--log argon shard rotate c --yes -o json", 6)?;
    ensure!(ran.json()?["error"]["findings"][0]["code"] == "not-announced");
    run(at, "--log argon shard rotate c --force --yes", 0)?;
    let trail = run(at, "audit list -o json", 0)?.stdout;
    ensure!(trail.contains("rotate-forced"), "{trail}");
    let history = run(at, "--log argon config history", 0)?.stdout;
    ensure!(history.contains("forced:"), "{history}");
    Ok(())
}
