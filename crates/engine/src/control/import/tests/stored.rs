//! A log is made of the objects that are stored, not of what a process remembers of them.

use super::*;

/// The rows and objects of an import that is whole.
async fn copied(all: &[Old]) -> Rig {
    let rig = Rig::new();
    let (engine, _) = rig.server(&Faults::new()).await;
    copy(&engine, all, 300).await.unwrap();
    engine.shutdown().await;
    rig
}

fn of_import(rig: &Rig) -> Vec<String> {
    let objects = rig.objects.objects();
    let paths = objects.keys().filter(|path| path.starts_with("neon/"));
    paths.cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn no_log_is_made_over_damaged_objects() {
    let all = two();
    let copied = copied(&all).await;
    for damaged in of_import(&copied) {
        let mut objects = copied.objects.objects();
        let mut bytes = objects[&damaged].to_vec();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        objects.insert(damaged.clone(), bytes.into());
        let rig = copied.on(copied.rows.rows(), objects);
        let (engine, _) = rig.server(&Faults::new()).await;
        let refused = why(engine.create_log(document(&all), caller()).await);
        assert!(refused.contains(&damaged), "{damaged}: {refused}");
        assert!(refused.contains("import again"), "{refused}");
        assert!(engine.log("neon").is_none());
        // It can be dropped, and imported again.
        assert!(engine.import_dropped(&name()).await.unwrap());
        import(&engine, &all, 300).await.unwrap();
        whole(&engine, &all).await;
        engine.shutdown().await;
    }
}

/// A process that stood still has written the objects of an import that was dropped over those of the next one, of another Rekor.
#[tokio::test(start_paused = true)]
async fn no_log_is_made_over_the_objects_of_another_import() {
    let all = two();
    let other = (33, " elsewhere");
    let others = [old_of(other, 7, 0, 300), old_of(other, 9, 300, 5)];
    let (these, those) = (copied(&all).await, copied(&others).await);
    let those = those.objects.objects();
    for some in ["neon/", "neon/7/times/", "neon/9/times/"] {
        let mut objects = these.objects.objects();
        let written = those.iter().filter(|(path, _)| path.starts_with(some));
        objects.extend(written.map(|(path, bytes)| (path.clone(), bytes.clone())));
        let rig = these.on(these.rows.rows(), objects);
        let (engine, _) = rig.server(&Faults::new()).await;
        let refused = why(engine.create_log(document(&all), caller()).await);
        assert!(refused.contains("import again"), "{some}: {refused}");
        engine.shutdown().await;
    }
}
