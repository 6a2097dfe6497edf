//! Tests of failed logins.

use super::*;

const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

fn attempts() -> Arc<Attempts> {
    Arc::new(Attempts::default())
}

fn fail_at(attempts: &Attempts, username: &str, address: Option<IpAddr>, now: Instant) -> Result<(), TooMany> {
    let sources =
        [address.map(network).map(AttemptSource::Address), Some(AttemptSource::Username(username.to_owned()))];
    attempts.count(sources, GUESS, now)
}

fn fail(attempts: &Attempts, times: u32, now: Instant) {
    for _ in 0..times {
        let _ = fail_at(attempts, "till", HERE, now);
    }
}

/// Returns the wait of a check that ends at once.
fn wait(attempts: &Arc<Attempts>, username: &str, address: Option<IpAddr>, now: Instant) -> Result<Duration, TooMany> {
    attempts.admit(username, address, now).map(|admission| admission.wait)
}

#[test]
fn the_first_failures_are_free_and_the_next_are_told_so() {
    let (attempts, now) = (attempts(), Instant::now());
    for _ in 0..FREE_OF_USERNAME / GUESS {
        assert_eq!(wait(&attempts, "till", HERE, now), Ok(Duration::ZERO));
        assert_eq!(fail_at(&attempts, "till", HERE, now), Ok(()));
    }
    assert_eq!(fail_at(&attempts, "till", HERE, now), Err(TooMany(FIRST_PACE)));
}

#[test]
fn beyond_them_checks_are_paced_and_what_would_wait_too_long_is_refused() {
    let (attempts, now) = (attempts(), Instant::now());
    fail(&attempts, 2 * FREE_OF_USERNAME / GUESS, now);
    assert_eq!(wait(&attempts, "till", HERE, now), Ok(Duration::ZERO), "checked at once");
    assert_eq!(wait(&attempts, "till", HERE, now), Ok(LONGEST_PACE));
    assert_eq!(wait(&attempts, "till", HERE, now), Err(TooMany(2 * LONGEST_PACE)));
    assert_eq!(wait(&attempts, "till", HERE, now + LONGEST_PACE), Ok(LONGEST_PACE));
}

#[test]
fn guesses_at_once_count_before_they_fail() {
    let now = Instant::now();
    for failures in [0, 1] {
        let attempts = attempts();
        fail(&attempts, failures, now);
        let admitted: Vec<_> = (0..64).map(|_| attempts.admit("till", HERE, now)).collect();
        let at_once = admitted.iter().flatten().filter(|admission| admission.wait.is_zero()).count();
        let refused = admitted.iter().filter(|admission| admission.is_err()).count();
        assert_eq!(at_once, (FREE_OF_USERNAME / GUESS + 1 - failures) as usize);
        assert!(refused > 45, "{refused}");
        // The owner at another address, and other users at this one, do not wait.
        assert_eq!(wait(&attempts, "till", THERE, now), Ok(Duration::ZERO));
        assert_eq!(wait(&attempts, "other", HERE, now), Ok(Duration::ZERO));
        drop(admitted);
        assert_eq!(wait(&attempts, "till", HERE, now), Ok(Duration::ZERO), "right ones are forgotten");
    }
}

#[test]
fn many_usernames_at_once_from_an_address_without_failures_all_begin_but_few_count_as_clean() {
    let (attempts, now) = (attempts(), Instant::now());
    let admitted: Vec<_> = (0..100).map(|index| attempts.admit(&format!("till {index}"), HERE, now).unwrap()).collect();
    assert!(admitted.iter().all(|admission| admission.wait.is_zero()));
    assert_eq!(admitted.iter().filter(|admission| admission.clean).count(), MAX_CLEAN_CHECKS as usize);
    assert!(attempts.admit("till", THERE, now).unwrap().clean);
    drop(admitted);
    assert!(attempts.admit("till", HERE, now).unwrap().clean);
    let _ = fail_at(&attempts, "till", HERE, now);
    let forgotten = now + FORGOTTEN_AFTER * MAX_FAILURES;
    for (at, clean) in [(now, false), (now + SUSPECT_FOR / 2, false), (forgotten, true)] {
        assert_eq!(attempts.admit("till", HERE, at).unwrap().clean, clean, "{at:?}");
        assert_eq!(wait(&attempts, "till", HERE, at), Ok(Duration::ZERO));
    }
    assert!(attempts.0.lock().len() <= 2, "nothing is left of what went well");
}

#[test]
fn the_owner_elsewhere_and_others_here_do_not_wait() {
    let (attempts, now) = (attempts(), Instant::now());
    fail(&attempts, 2 * FREE_OF_USERNAME / GUESS, now);
    for _ in 0..5 {
        assert_eq!(wait(&attempts, "till", THERE, now), Ok(Duration::ZERO));
        assert_eq!(wait(&attempts, "other", HERE, now), Ok(Duration::ZERO));
    }
}

#[test]
fn guesses_for_many_usernames_from_one_address_are_paced() {
    let (attempts, now) = (attempts(), Instant::now());
    for index in 0..=FREE_OF_ADDRESS / GUESS {
        let _ = fail_at(&attempts, &index.to_string(), HERE, now);
    }
    assert_eq!(wait(&attempts, "another", HERE, now), Ok(Duration::ZERO));
    assert!(wait(&attempts, "another", HERE, now).is_ok_and(|wait| wait > Duration::ZERO));
    assert_eq!(wait(&attempts, "another", THERE, now), Ok(Duration::ZERO));
}

#[test]
fn a_program_that_repeats_a_wrong_pair_is_told_so_later() {
    let attempts = attempts();
    for _ in 0..FREE_OF_USERNAME {
        assert_eq!(attempts.failed("till", true, HERE), Ok(()));
    }
    assert_eq!(attempts.failed("till", true, HERE), Err(TooMany(FIRST_PACE)));
}

#[test]
fn names_that_cannot_be_count_for_their_address() {
    let attempts = attempts();
    for _ in 0..FREE_OF_ADDRESS / GUESS {
        assert_eq!(attempts.impossible(HERE), Ok(()));
    }
    assert_eq!(attempts.impossible(HERE), Err(TooMany(FIRST_PACE)));
    assert_eq!(attempts.impossible(THERE), Ok(()));
}

#[test]
fn failures_are_forgotten() {
    let (attempts, now) = (attempts(), Instant::now());
    fail(&attempts, 3 * FREE_OF_USERNAME / GUESS, now);
    let later = now + FORGOTTEN_AFTER * MAX_FAILURES;
    for _ in 0..3 {
        assert_eq!(wait(&attempts, "till", HERE, later), Ok(Duration::ZERO));
    }
    assert_eq!(fail_at(&attempts, "till", HERE, later), Ok(()));
}

#[test]
fn addresses_of_one_network_are_one() {
    let (attempts, now) = (attempts(), Instant::now());
    for index in 0..100_u16 {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, index);
        let _ = fail_at(&attempts, &index.to_string(), Some(address.into()), now);
    }
    let sibling = Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9).into());
    let _ = wait(&attempts, "a", sibling, now);
    assert!(wait(&attempts, "a", sibling, now).is_ok_and(|wait| wait > Duration::ZERO));
}

#[test]
fn who_fails_still_is_remembered_beyond_the_bound() {
    let (attempts, now) = (attempts(), Instant::now());
    fail(&attempts, 2 * FREE_OF_USERNAME / GUESS, now);
    let held_up = |attempts: &Arc<Attempts>| {
        let _ = wait(attempts, "till", HERE, now);
        wait(attempts, "till", HERE, now) != Ok(Duration::ZERO)
    };
    // The guesser's address and username take two entries.
    for beyond in [MAX_REMEMBERED - 2, MAX_REMEMBERED - 1, 2 * MAX_REMEMBERED] {
        for index in 0..beyond {
            let _ = fail_at(&attempts, &index.to_string(), None, now);
            if index % 1_000 == 0 {
                let _ = fail_at(&attempts, "till", HERE, now);
            }
        }
        assert!(attempts.0.lock().len() <= MAX_REMEMBERED, "{beyond}");
        assert!(held_up(&attempts), "{beyond}");
    }
}
