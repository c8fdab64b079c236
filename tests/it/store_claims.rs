//! What every store promises of files: one row, one writer, known again.

use log_ingestd::model::{Checkpoint, FileId, FileKey, Fingerprint, NewFile, Position, Sighting};
use log_ingestd::store::{ClaimRequest, Committed, LostClaim, NewOrKnown, StoreError, Writer};
use sqlx::{Connection, PgConnection};

use crate::place::{Lines, NOW, Place, advanced, claimed, print, sighting, together, until};

for_every_store!(
    a_file_has_one_writer_until_that_writer_is_gone,
    a_file_that_was_let_go_is_free,
    a_file_is_released_with_its_last_lines,
    a_writer_takes_its_file_again_after_a_lost_connection,
    a_file_that_another_writer_claimed_meanwhile_is_lost,
    two_daemons_that_see_a_new_file_at_once_register_it_once,
    writers_that_register_a_new_file_in_one_step_add_it_once,
    candidates_share_inode_or_first_line_and_host,
    a_closed_file_says_why_and_what_was_lost_and_opens_with_the_next_claim,
    a_stream_leaves_the_key_of_its_file,
    many_files_are_claimed_at_once_as_they_are_one_by_one,
    of_three_writers_that_claim_the_same_files_at_once_one_gets_each,
);

async fn a_file_has_one_writer_until_that_writer_is_gone(place: Place) {
    let store = place.open().await;
    let mut first = store.writer("web:1").await.unwrap();
    let at = claimed(&mut first, 1).await;
    let mut second = store.writer("web:2").await.unwrap();
    let seen = sighting(1, None);
    assert_eq!(second.claim(at.file, &seen, "%(r)s").await.unwrap(), None);
    // Claiming what one has is allowed; the epoch rises.
    let again = first.claim(at.file, &seen, "%(r)s").await.unwrap().unwrap();
    assert!(again.epoch >= at.epoch + 1000);
    drop(first);
    let taken = claim_soon(&mut second, &again).await;
    assert!(taken.epoch >= again.epoch + 1000);
    second.commit(&Lines::after(&taken).row(NOW).batch()).await.unwrap();
}

/// A connection's end takes the server a moment to notice.
async fn claim_soon(writer: &mut Writer, file: &Checkpoint) -> Checkpoint {
    let mut taken = None;
    until("the file is free", async || {
        let seen = sighting(1, None);
        taken = writer.claim(file.file, &seen, "%(r)s").await.unwrap();
        taken.is_some()
    })
    .await;
    taken.unwrap()
}

async fn a_file_that_was_let_go_is_free(place: Place) {
    let store = place.open().await;
    let mut first = store.writer("web:1").await.unwrap();
    let at = claimed(&mut first, 1).await;
    assert_eq!(store.files(None).await.unwrap()[0].owner.as_deref(), Some("web:1"));
    first.release(at.file).await.unwrap();
    first.release(at.file).await.unwrap();
    assert_eq!(store.files(None).await.unwrap()[0].owner, None);
    let mut second = store.writer("web:2").await.unwrap();
    assert!(second.claim(at.file, &sighting(1, None), "%(r)s").await.unwrap().is_some());
    // Letting go what another has changes nothing.
    first.release(at.file).await.unwrap();
    assert_eq!(store.files(None).await.unwrap()[0].owner.as_deref(), Some("web:2"));
}

async fn a_file_is_released_with_its_last_lines(place: Place) {
    let store = place.open().await;
    let mut one = store.writer("web:1").await.unwrap();
    let mut two = store.writer("web:2").await.unwrap();
    let last = |file: &Checkpoint| {
        let mut batch = Lines::after(file).rows(3, NOW).batch();
        batch.spans[0].releases = true;
        batch
    };
    let free = "SELECT count(*) FROM log_file WHERE owner IS NULL";
    let mut files = Vec::new();
    for inode in 1..=4 {
        files.push(claimed(&mut one, inode).await);
    }
    // A batch that is refused releases nothing.
    let mut late = files[0].clone();
    late.committed = 1;
    let error = one.commit(&last(&late)).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(two.claim(files[0].file, &sighting(1, None), "%(r)s").await.unwrap(), None);

    // Of several files in one batch, that of the last one alone.
    one.commit(&last(&files[0])).await.unwrap();
    let others = Lines::after(&files[1]).rows(2, NOW).batch();
    let more = advanced(&files[1], &others);
    one.commit(&others).await.unwrap();
    assert_eq!(place.number(free).await, 1);
    let mut both = together(vec![Lines::after(&more).row(NOW), Lines::after(&files[2]).row(NOW)]);
    both.spans.iter_mut().find(|span| span.file == files[2].file).unwrap().releases = true;
    one.commit(&both).await.unwrap();
    assert_eq!(place.number(free).await, 2);
    // Over a connection that has not claimed it, as an import does.
    let mut lane = store.lane("web:1").await.unwrap();
    lane.commit(&last(&files[3]), None).await.unwrap();
    assert_eq!(place.number(free).await, 3);
    for (nth, file) in files.iter().enumerate() {
        let claimed = two.claim(file.file, &sighting(nth as u64 + 1, None), "%(r)s").await;
        assert_eq!(claimed.unwrap().is_some(), nth != 1, "{nth}");
    }
}

async fn a_writer_takes_its_file_again_after_a_lost_connection(place: Place) {
    let store = place.open().await;
    let mut lost = store.writer("web:1").await.unwrap();
    let at = claimed(&mut lost, 1).await;
    let mut fresh = store.writer("web:1").await.unwrap();
    // The lost connection may still be ending: not now, but not lost either.
    let error = fresh.hold_again(at.file, at.epoch).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    drop(lost);
    until("the lock is free", async || {
        matches!(fresh.hold_again(at.file, at.epoch).await, Ok(true))
    })
    .await;
    fresh.commit(&Lines::after(&at).row(NOW).batch()).await.unwrap();
    let mut other = store.writer("web:2").await.unwrap();
    assert_eq!(other.claim(at.file, &sighting(1, None), "%(r)s").await.unwrap(), None);
}

async fn a_file_that_another_writer_claimed_meanwhile_is_lost(place: Place) {
    let store = place.open().await;
    let mut lost = store.writer("web:1").await.unwrap();
    let at = claimed(&mut lost, 1).await;
    drop(lost);
    let mut other = store.writer("web:2").await.unwrap();
    claim_soon(&mut other, &at).await;
    let mut fresh = store.writer("web:1").await.unwrap();
    assert!(!fresh.hold_again(at.file, at.epoch).await.unwrap());
    other.release(at.file).await.unwrap();
    assert!(!fresh.hold_again(at.file, at.epoch).await.unwrap());
    // And what it did not get, it does not keep from others.
    assert!(other.claim(at.file, &sighting(1, None), "%(r)s").await.unwrap().is_some());
}

async fn two_daemons_that_see_a_new_file_at_once_register_it_once(place: Place) {
    let store = place.open().await;
    let mut one = store.writer("web:1").await.unwrap();
    let mut two = store.writer("web:2").await.unwrap();
    // By inode, and by first line: an archive has no inode of its own.
    for seen in [sighting(1, None), Sighting { key: None, ..sighting(2, Some(7)) }] {
        assert_eq!(one.candidates(&seen).await.unwrap(), []);
        assert_eq!(two.candidates(&seen).await.unwrap(), []);
        let new = NewFile {
            sighting: seen.clone(),
            format: "%(r)s".into(),
            time_estimated: false,
            begins: Position::default(),
        };
        let first = one.register(&new, &[]).await.unwrap().unwrap();
        assert_eq!(first.head, seen.head);
        assert_eq!(two.register(&new, &[]).await.unwrap(), None);
        assert_eq!(two.candidates(&seen).await.unwrap(), std::slice::from_ref(&first));
        // Who has seen the row and knows that it is another file gets a new one.
        let other = two.register(&new, &[first.file]).await.unwrap().unwrap();
        assert_ne!(other.file, first.file);
        assert_eq!((other.committed, other.is_closed()), (0, false));
        // A writer's own registrations are known to it: logs may begin alike.
        let third = two.register(&new, &[first.file]).await.unwrap().unwrap();
        assert_ne!(third.file, other.file);
    }
}

async fn writers_that_register_a_new_file_in_one_step_add_it_once(place: Place) {
    if place.is_postgres() {
        // A snapshot from before the lock would not show what another writer has added.
        let alter = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I
                 SET default_transaction_isolation = ''repeatable read''', current_database()); END $$";
        place.execute(alter).await;
    }
    let store = place.open().await;
    let new = |inode, head| NewFile {
        sighting: sighting(inode, head),
        format: "%(r)s".into(),
        time_estimated: false,
        begins: Position::default(),
    };
    // None is like this one.
    let mut writer = store.writer("web:1").await.unwrap();
    writer.register(&new(1, Some(1)), &[]).await.unwrap().unwrap();
    let register = async |new: NewFile, owner: String| {
        let mut writer = store.writer(&owner).await.unwrap();
        match writer.register_unless_known(&new).await.unwrap() {
            NewOrKnown::New(file) => Some(file),
            NewOrKnown::Known(known) => {
                let known: Vec<FileId> = known.iter().map(|known| known.file).collect();
                assert!(!place.is_postgres() || known.len() == 1, "{known:?}");
                // As if the comparison had shown that it is none of them.
                writer.register(&new, &[]).await.unwrap()
            }
        }
    };
    let all = (0..6).map(|nth| register(new(2, Some(2)), format!("web:{nth}")));
    let registered = futures_util::future::join_all(all).await;
    assert_eq!(registered.iter().flatten().count(), 1, "{registered:?}");
    let file = registered.into_iter().flatten().next().unwrap();
    assert_eq!((file.committed, file.head), (0, new(2, Some(2)).sighting.head));
    // By its inode, by its first line, and by neither.
    for (alike, is_like) in
        [(new(2, Some(9)), true), (new(9, Some(2)), true), (new(3, Some(3)), false)]
    {
        match writer.register_unless_known(&alike).await.unwrap() {
            NewOrKnown::Known(known) => {
                let known: Vec<FileId> = known.iter().map(|known| known.file).collect();
                assert_eq!(known, if is_like { vec![file.file] } else { vec![] });
            }
            NewOrKnown::New(_) => assert!(!is_like),
        }
    }
}

async fn candidates_share_inode_or_first_line_and_host(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).row(NOW).batch();
    writer.commit(&batch).await.unwrap();
    let other = claimed(&mut writer, 2).await;
    let moved = advanced(&at, &batch);

    let by_head = sighting(77, Some(1));
    assert_eq!(writer.candidates(&by_head).await.unwrap(), std::slice::from_ref(&moved));
    let both = sighting(2, Some(1));
    assert_eq!(writer.candidates(&both).await.unwrap(), [other, moved]);
    let neither = sighting(77, Some(9));
    assert_eq!(writer.candidates(&neither).await.unwrap(), []);
    let mut elsewhere = sighting(1, Some(1));
    elsewhere.host = "other".into();
    let of_web = writer.candidates(&elsewhere).await.unwrap();
    assert_eq!(of_web.len(), 1, "another host's name for the same object and first line");
    assert_eq!((of_web[0].file, of_web[0].host.as_str()), (at.file, "web"));
    elsewhere.head = Some(print(9));
    assert_eq!(writer.candidates(&elsewhere).await.unwrap(), []);
    let mut longer = sighting(77, Some(1));
    longer.head = Some(Fingerprint { length: 91, ..print(1) });
    assert_eq!(writer.candidates(&longer).await.unwrap(), []);
}

async fn a_closed_file_says_why_and_what_was_lost_and_opens_with_the_next_claim(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    writer.close_file(at.file, at.epoch, 4096, "truncated", None).await.unwrap();
    let file = store.files(None).await.unwrap().remove(0);
    assert!(file.checkpoint.is_closed());
    assert_eq!((file.lost_bytes, file.closed_reason.as_deref()), (4096, Some("truncated")));
    assert_eq!((file.checkpoint.committed, file.checkpoint.size), (0, 4096));
    let again = writer.claim(at.file, &sighting(1, None), "%(r)s").await.unwrap().unwrap();
    assert!(!again.is_closed());
    writer.close_file(at.file, again.epoch, 0, "replaced", Some(0)).await.unwrap();
    assert_eq!(store.files(None).await.unwrap()[0].lost_bytes, 0);
}

async fn a_stream_leaves_the_key_of_its_file(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let mut stream = sighting(1, None);
    (stream.key, stream.path) = (None, "-".into());
    let taken = writer.claim(at.file, &stream, "%(r)s").await.unwrap().unwrap();
    assert_eq!((taken.key, taken.path.as_str()), (at.key, "-"));
    // While a file that was moved brings its new place, here one without a birth time.
    let mut moved = sighting(8, None);
    moved.key = Some(FileKey { device: 1, inode: 8, birth_us: None });
    let taken = writer.claim(at.file, &moved, "%(h)s").await.unwrap().unwrap();
    assert_eq!((taken.key, taken.format.as_str()), (moved.key, "%(h)s"));
}

async fn many_files_are_claimed_at_once_as_they_are_one_by_one(place: Place) {
    let store = place.open().await;
    let mut first = store.writer("web:1").await.unwrap();
    let mut all = Vec::new();
    for number in 1..=20 {
        all.push(claimed(&mut first, number).await);
    }
    let objects = "SELECT concat(id, ' ', device, ' ', inode, ' ', birth, ' ', head_length)
                     FROM log_file ORDER BY log_file.id";
    let before = place.texts(objects).await;
    first.release_all(&all.iter().map(|at| at.file).collect::<Vec<_>>()[10..]).await.unwrap();
    // Some moved, some are streams, some have another format.
    let seen: Vec<Sighting> = (1..=20)
        .map(|number| {
            let mut seen = sighting(number, None);
            seen.head = None;
            if number % 3 == 0 {
                seen.key = None;
            }
            seen
        })
        .collect();
    let format = |nth: usize| if nth.is_multiple_of(4) { "%(h)s" } else { "%(r)s" };
    let requests: Vec<ClaimRequest<'_>> = all
        .iter()
        .zip(&seen)
        .enumerate()
        .map(|(nth, (at, seen))| ClaimRequest { file: at.file, seen, format: format(nth) })
        .collect();
    let mut second = store.writer("web:2").await.unwrap();
    let taken = second.claim_all(&requests).await.unwrap();
    for (nth, (taken, at)) in taken.iter().zip(&all).enumerate() {
        let Some(taken) = taken else {
            assert!(nth < 10, "{nth} was free");
            continue;
        };
        assert!(nth >= 10, "{nth} was held");
        let wanted = Checkpoint {
            epoch: taken.epoch,
            format: format(nth).into(),
            path: seen[nth].path.clone(),
            origin: taken.origin.clone(),
            ..at.clone()
        };
        assert_eq!(*taken, wanted);
        assert!(taken.epoch >= at.epoch + 1000);
    }
    assert_eq!(place.texts(objects).await, before, "what a stream does not have stays");
    let others = "SELECT count(*) FROM log_file
                   WHERE format = '%(h)s' AND CAST(other_formats AS text) LIKE '%%(r)s%'";
    assert_eq!(place.number(others).await, 2);
    // The same one by one.
    let one = second.claim(all[12].file, &seen[12], "%(r)s").await.unwrap().unwrap();
    assert!(one.epoch >= all[12].epoch + 2000 && one.format == "%(r)s", "{one:?}");
    let nobodys = ClaimRequest { file: FileId(77), seen: &seen[0], format: "%(r)s" };
    let error = second.claim_all(&[requests[11], nobodys]).await.unwrap_err();
    assert!(format!("{error:?}").contains("no row with id 77"), "{error:?}");
    // Of those that a lost connection had, the ones that were not claimed since.
    let claims: Vec<_> = all
        .iter()
        .map(|at| Committed { file: at.file, offset: at.committed, epoch: at.epoch })
        .collect();
    drop(first);
    let mut fresh = store.writer("web:1").await.unwrap();
    let mut lost = None;
    until("the lost connection has ended", async || {
        lost = fresh.hold_all_again(&claims).await.ok();
        lost.is_some()
    })
    .await;
    let taken_over = all[10..].iter().map(|at| (at.file, LostClaim::TakenOver));
    assert_eq!(lost.unwrap(), taken_over.collect::<Vec<_>>());
    let taken = second.claim_all(&requests[..10]).await.unwrap();
    assert!(taken.iter().all(Option::is_none), "{taken:?}");
}

async fn of_three_writers_that_claim_the_same_files_at_once_one_gets_each(place: Place) {
    let store = place.open().await;
    let mut gone = store.writer("web:1").await.unwrap();
    let mut all = Vec::new();
    for number in 1..=50 {
        all.push(claimed(&mut gone, number).await);
    }
    drop(gone);
    let seen = sighting(1, None);
    let seen = Sighting { key: None, ..seen };
    let files: Vec<FileId> = all.iter().map(|at| at.file).collect();
    let claim = async |owner: &str| {
        let mut writer = store.writer(owner).await.unwrap();
        let mut got: Vec<FileId> = Vec::new();
        until("each file has a writer", async || {
            let asked = files.iter().filter(|file| !got.contains(file));
            let ask = |&file: &FileId| ClaimRequest { file, seen: &seen, format: "%(r)s" };
            let requests: Vec<_> = asked.map(ask).collect();
            let taken = writer.claim_all(&requests).await.unwrap();
            got.extend(taken.into_iter().flatten().map(|taken| taken.file));
            let owned = store.files(None).await.unwrap();
            owned.iter().all(|it| it.owner.as_deref().is_some_and(|it| it != "web:1"))
        })
        .await;
        (writer, got) // it lives until all have claimed
    };
    let (one, two, three) = tokio::join!(claim("web:2"), claim("web:3"), claim("web:4"));
    let mut got = [one.1, two.1, three.1].concat();
    got.sort_unstable();
    assert_eq!(got, files);
}

/// A daemon of a schema before 7 has a lock for each file, and may still be connected after the upgrade.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_an_older_daemon_still_holds_is_not_taken() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut gone = store.writer("web:1").await.unwrap();
    let at = claimed(&mut gone, 1).await;
    gone.release(at.file).await.unwrap();
    let mut older = PgConnection::connect(&place.url).await.unwrap();
    let lock = "SELECT pg_advisory_lock(1818846257, $1)"; // 0x6c696431, the files of older daemons
    sqlx::query(lock).bind(at.file.0).execute(&mut older).await.unwrap();
    let mut writer = store.writer("web:2").await.unwrap();
    let seen = sighting(1, None);
    assert_eq!(writer.claim(at.file, &seen, "%(r)s").await.unwrap(), None);
    // Other files are not its own.
    let other = claimed(&mut gone, 2).await;
    gone.release(other.file).await.unwrap();
    assert!(writer.claim(other.file, &sighting(2, None), "%(r)s").await.unwrap().is_some());
    older.close().await.unwrap();
    let taken = claim_soon(&mut writer, &at).await;
    assert!(taken.epoch >= at.epoch + 1000);
}

/// Neither a claim nor the writer that has a file waits for a large batch of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_does_not_wait_for_a_commit_of_the_writer_that_has_the_file() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut first = store.writer("web:1").await.unwrap();
    let at = claimed(&mut first, 1).await;
    let mut committing = PgConnection::connect(&place.url).await.unwrap();
    let mut tx = committing.begin().await.unwrap();
    let row = "UPDATE log_file SET size = size WHERE id = $1";
    sqlx::query(row).bind(at.file.0).execute(&mut *tx).await.unwrap();
    let mut second = store.writer("web:2").await.unwrap();
    // It would wait for the row, and fail after lock_timeout.
    let asked = second.claim(at.file, &sighting(1, None), "%(r)s").await.unwrap();
    assert_eq!(asked, None);
    tx.rollback().await.unwrap();
}
