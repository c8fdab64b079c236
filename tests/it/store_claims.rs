//! What every store promises of files: one row, one writer, known again.

use log_ingestd::model::{Checkpoint, FileKey, Fingerprint, NewFile, Position, Sighting};
use log_ingestd::store::Writer;

use crate::place::{Lines, NOW, Place, advanced, claimed, print, sighting, until};

for_every_store!(
    a_file_has_one_writer_until_that_writer_is_gone,
    a_file_that_was_let_go_is_free,
    a_writer_takes_its_file_again_after_a_lost_connection,
    a_file_that_another_writer_claimed_meanwhile_is_lost,
    two_daemons_that_see_a_new_file_at_once_register_it_once,
    candidates_share_inode_or_first_line_and_host,
    a_closed_file_says_why_and_what_was_lost_and_opens_with_the_next_claim,
    a_stream_leaves_the_key_of_its_file,
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
    assert_eq!(again.epoch, at.epoch + 1000);
    drop(first);
    let taken = claim_soon(&mut second, &again).await;
    assert_eq!(taken.epoch, again.epoch + 1000);
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
        assert_eq!((other.committed, other.closed), (0, false));
        // A writer's own registrations are known to it: logs may begin alike.
        let third = two.register(&new, &[first.file]).await.unwrap().unwrap();
        assert_ne!(third.file, other.file);
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
    assert!(file.checkpoint.closed && file.closed_at.is_some());
    assert_eq!((file.lost_bytes, file.closed_reason.as_deref()), (4096, Some("truncated")));
    assert_eq!((file.checkpoint.committed, file.checkpoint.size), (0, 4096));
    let again = writer.claim(at.file, &sighting(1, None), "%(r)s").await.unwrap().unwrap();
    assert!(!again.closed);
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
