//! Tests of the decision: a table with a row per documented outcome, in order of precedence, and properties.

use chrono_tz::Tz;
use proptest::prelude::*;

use super::super::draft::CAP;
use super::super::time::{DAY, MILLISECOND};
use super::super::{CatalogVersion, CustomerId, EarnedFromType, Expiry, Org, OrgId};
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_762_840_000_000);

fn id(number: u8) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[11] = number;
    ObjectId(bytes)
}

pub(crate) fn promotion(number: u8) -> Promotion {
    Promotion {
        id: id(number),
        name: format!("Promotion {number}"),
        kind: PromotionType::Earning,
        active: true,
        start: NOW - 100 * DAY,
        end: NOW + 100 * DAY,
        cap: None,
        expiry: Expiry::WithPromotion,
        cap_period: 0,
        limited_to_audience: false,
        earned: false,
    }
}

pub(crate) fn catalog(promotions: Vec<Promotion>, max_active_promotions: u32) -> Catalog {
    let org = Org {
        id: OrgId(1),
        name: "Shop".to_owned(),
        time_zone: Tz::UTC,
        max_active_promotions,
        accept_unknown_customers: false,
    };
    Catalog::new(CatalogVersion(1), org, promotions)
}

pub(crate) fn command(entries: &[(u8, u32, &str)]) -> BulkEarn {
    let entries = entries.iter().map(|(promotion, earn_count, earned_from_id)| Entry {
        promotion_id_given: id(*promotion).to_string(),
        promotion_id: Some(id(*promotion)),
        earn_count: *earn_count,
        earned_from_id: (*earned_from_id).into(),
    });
    BulkEarn {
        org_id: OrgId(1),
        customer_id: CustomerId(7),
        event_time: NOW - DAY,
        earned_from_type: EarnedFromType::BulkIssue,
        event_id: "event".into(),
        details: None,
        max_recorded_payload_bytes: usize::MAX,
        entries: entries.collect(),
    }
}

fn run(command: &BulkEarn, catalog: &Catalog, facts: &mut Facts) -> Decision {
    let mut next =
        u64::try_from(facts.earnings.values().map(|earning| earning.instances.len()).sum::<usize>()).unwrap();
    decide(command, &mut Scene { catalog, facts, now: NOW }, || {
        next += 1;
        let mut bytes = [0xee; 12];
        bytes[4..].copy_from_slice(&next.to_be_bytes());
        ObjectId(bytes)
    })
}

/// Returns for each entry the number of instances, and the code of the failure or 0.
fn summary(decision: &Decision) -> Vec<(usize, i32)> {
    let code = |outcome: &EntryOutcome| outcome.failure.as_ref().map_or(0, EarnFailure::code);
    decision.outcomes.iter().map(|outcome| (outcome.instances.len(), code(outcome))).collect()
}

/// Edit that gives an entry one reason to fail; without it the entry would be granted.
type SpoilEntry = fn(&mut Promotion, &mut BulkEarn, &mut u32);

/// Every failure in the documented table, in its order. Each row has the code, a part of the text, and the edit that
/// causes it.
const PRECEDENCE: [(i32, &str, SpoilEntry); 11] = [
    (404, "not found", |_, command, _| command.entries[0].promotion_id = Some(id(99))),
    (404, "not found", |_, command, _| command.entries[0].promotion_id = None),
    (707, "type POS", |promotion, _, _| promotion.kind = PromotionType::Pos),
    (714, "type CUSTOMER", |promotion, _, _| promotion.kind = PromotionType::Customer),
    (713, "cannot change to MILESTONE", |_, command, _| command.earned_from_type = EarnedFromType::Milestone),
    (705, "2 active promotions, more than its maximum of 1", |_, _, max_active| *max_active = 1),
    (709, "had not started", |promotion, _, _| promotion.start = NOW),
    (706, "had expired", |promotion, _, _| promotion.end = NOW - 2 * DAY),
    (706, "would have expired", |promotion, _, _| promotion.end = NOW - MILLISECOND),
    (715, "not in", |promotion, _, _| promotion.limited_to_audience = true),
    (708, "cap 2, used 1, left 1; 1 not granted", |promotion, _, _| promotion.cap = Some(2)),
];

#[test]
fn every_refusal_has_its_code_and_those_before_it_win() {
    for (first, (code, text, spoil)) in PRECEDENCE.iter().enumerate() {
        // Each failure is tested alone and with every later one: the earlier one is the answer.
        for also in std::iter::once(None).chain((first + 1..PRECEDENCE.len()).map(Some)) {
            let (mut spoilt, mut max_active) = (promotion(1), 250);
            let mut facts = Facts::default();
            // The promotion is capped, because instances of other promotions are not counted.
            let capped = Promotion { cap: Some(9), ..promotion(1) };
            run(&command(&[(1, 1, "earning")]), &catalog(vec![capped], 250), &mut facts);
            let mut again = command(&[(1, 3, "earning")]);
            if let Some(also) = also {
                PRECEDENCE[also].2(&mut spoilt, &mut again, &mut max_active);
            }
            spoil(&mut spoilt, &mut again, &mut max_active);
            let decision = run(&again, &catalog(vec![spoilt, promotion(2)], max_active), &mut facts);
            let failure = decision.outcomes[0].failure.clone().expect("a failure");
            assert_eq!(failure.code(), *code, "{code} with {:?}: {failure}", also.map(|also| PRECEDENCE[also].0));
            if also.is_none() {
                assert!(failure.to_string().contains(text), "{failure}");
                // A failure that comes after the replay leaves the recorded instances in the answer.
                let replayed = usize::from(![404, 707, 714, 713].contains(code)) + usize::from(*code == 708);
                assert_eq!(decision.outcomes[0].instances.len(), replayed, "{code}: {failure}");
            }
        }
    }
}

#[test]
fn two_causes_in_one_entry_are_each_told_with_their_number() {
    let world = |change: fn(&mut Promotion)| {
        let mut changed = Promotion { cap: Some(3), ..promotion(1) };
        change(&mut changed);
        catalog(vec![changed], 250)
    };
    for (asked_for, change, expected) in [
        // One of two was revoked; of the seven others, two fit under a cap of three.
        (
            9,
            (|_| {}) as fn(&mut Promotion),
            &*format!("; 5 not granted: {CAP} of promotion 000000000000000000000001 reached: cap 3, used 1, left 2"),
        ),
        (3, |promotion| promotion.active = false, "; 1 not granted: promotion 000000000000000000000001 is not active"),
        (
            4,
            |promotion| promotion.end = NOW - 2 * DAY,
            "; 2 not granted: promotion 000000000000000000000001 had expired at eventTime 2025-11-10T05:46:40Z: it ended at 2025-11-09T05:46:40Z",
        ),
        // Every missing instance was granted, or none is missing.
        (4, |_| {}, ""),
        (2, |promotion| promotion.active = false, ""),
    ] {
        let mut facts = Facts::default();
        run(&command(&[(1, 2, "earning")]), &world(|_| {}), &mut facts);
        facts.earnings.values_mut().next().unwrap().instances[0].revoked = true;
        *facts.used.values_mut().next().unwrap() -= 1;
        let decision = run(&command(&[(1, asked_for, "earning")]), &world(change), &mut facts);
        let failure = decision.outcomes[0].failure.clone().expect("a failure");
        assert_eq!(failure.code(), 731);
        let revoked = "1 of this earning of promotion 000000000000000000000001 was revoked, and is not granted again";
        assert_eq!(failure.to_string(), format!("{revoked}{expected}"));
        // Each instance that is not granted has a reason.
        let EarnFailure::Revoked { revoked, rest, .. } = failure else { panic!("{failure}") };
        let told = revoked + rest.map_or(0, |rest| rest.count as usize);
        assert_eq!(told + decision.outcomes[0].instances.len(), asked_for as usize);
    }
}

#[test]
fn the_remaining_kinds_and_reasons_have_their_codes() {
    let code = Promotion { kind: PromotionType::Code, ..promotion(1) };
    let inactive = Promotion { active: false, ..promotion(1) };
    for (code, text, promotion) in [(707, "type CODE", code), (709, "is not active", inactive)] {
        let decision = run(&command(&[(1, 1, "a")]), &catalog(vec![promotion], 250), &mut Facts::default());
        let failure = decision.outcomes[0].failure.clone().expect("a failure");
        assert_eq!(failure.code(), code);
        assert!(failure.to_string().contains(text), "{failure}");
    }
    let mut reward = promotion(1);
    reward.kind = PromotionType::Reward;
    let decision = run(&command(&[(1, 1, "a")]), &catalog(vec![reward], 250), &mut Facts::default());
    assert_eq!(summary(&decision), [(1, 0)]);
}

#[test]
fn the_first_and_the_last_millisecond_of_a_promotion_count() {
    let event = NOW - DAY;
    for (start, end, code) in [
        (event, NOW, 0),
        (event + MILLISECOND, NOW, 709),
        (event - MILLISECOND, NOW, 0),
        (event - MILLISECOND, NOW - MILLISECOND, 706),
        (event - 2 * MILLISECOND, event - MILLISECOND, 706),
    ] {
        let promotion = Promotion { start, end, ..promotion(1) };
        let decision = run(&command(&[(1, 1, "a")]), &catalog(vec![promotion], 250), &mut Facts::default());
        assert_eq!(summary(&decision)[0].1, code, "{start}..{end}");
    }
    // The validity may end after the promotion; the promotion's end then has no effect on it.
    let promotion = Promotion { end: event, expiry: Expiry::DaysFromEarning(3), ..promotion(1) };
    let decision = run(&command(&[(1, 1, "a")]), &catalog(vec![promotion], 250), &mut Facts::default());
    assert_eq!(summary(&decision), [(1, 0)]);
}

#[test]
fn a_larger_count_grants_the_difference_and_a_smaller_one_returns_the_first() {
    let catalog = catalog(vec![promotion(1)], 250);
    let mut facts = Facts::default();
    let two = run(&command(&[(1, 2, "a")]), &catalog, &mut facts).outcomes[0].instances.clone();
    let mut later = command(&[(1, 5, "a")]);
    later.event_time = later.event_time + 5 * MILLISECOND;
    later.details = Details { event_payload: Some("{}".into()), ..Details::default() }.shared();
    let decision = run(&later, &catalog, &mut facts);
    assert_eq!(decision.outcomes[0].instances[..2], two);
    assert_eq!(decision.grants[0].instances, decision.outcomes[0].instances[2..]);
    assert_eq!(decision.grants[0].first_ordinal, 3);
    assert_eq!(decision.outcomes[0].event_time, NOW - DAY, "the first event time stays");
    assert_eq!(decision.outcomes[0].details, None, "the first payload stays");
    let one = run(&command(&[(1, 1, "a")]), &catalog, &mut facts);
    assert_eq!(one.outcomes[0].instances, two[..1]);
    assert!(one.grants.is_empty());
}

#[test]
fn a_cap_is_shared_by_the_entries_of_one_request_and_a_raised_one_grants_what_is_missing() {
    let capped = |cap| catalog(vec![Promotion { cap: Some(cap), ..promotion(1) }], 250);
    let mut facts = Facts::default();
    let entries = command(&[(1, 2, "a"), (1, 3, "b"), (1, 1, "c")]);
    assert_eq!(summary(&run(&entries, &capped(3), &mut facts)), [(2, 0), (1, 708), (0, 708)]);
    assert_eq!(summary(&run(&entries, &capped(5), &mut facts)), [(2, 0), (3, 0), (0, 708)]);
    // A cap lowered below the number held takes nothing away.
    assert_eq!(summary(&run(&entries, &capped(1), &mut facts)), [(2, 0), (3, 0), (0, 708)]);
    assert_eq!(summary(&run(&entries, &capped(6), &mut facts)), [(2, 0), (3, 0), (1, 0)]);
}

#[test]
fn what_was_revoked_is_not_granted_again_and_says_so_before_anything_that_keeps_the_rest_back() {
    let mut facts = Facts::default();
    let world = |promotion| catalog(vec![promotion], 250);
    run(&command(&[(1, 3, "a")]), &world(promotion(1)), &mut facts);
    let earning = facts.earnings.values_mut().next().unwrap();
    earning.instances[1].revoked = true;
    let kept: Vec<_> = [0, 2].map(|place| earning.instances[place]).into();
    facts.used.values_mut().for_each(|used| *used -= 1);

    for (count, held, code) in [(1, 1, 0), (2, 1, 731), (3, 2, 731)] {
        let again = run(&command(&[(1, count, "a")]), &world(promotion(1)), &mut facts);
        assert_eq!(summary(&again), [(held, code)], "{count}");
        assert_eq!(again.outcomes[0].instances, kept[..held]);
        assert!(again.grants.is_empty());
    }
    let off = Promotion { active: false, ..promotion(1) };
    assert_eq!(summary(&run(&command(&[(1, 4, "a")]), &world(off), &mut facts)), [(2, 731)]);
    let other_type = BulkEarn { earned_from_type: EarnedFromType::Reward, ..command(&[(1, 4, "a")]) };
    assert_eq!(summary(&run(&other_type, &world(promotion(1)), &mut facts)), [(0, 713)]);
    // The difference is granted after the revoked instance.
    let more = run(&command(&[(1, 4, "a")]), &world(promotion(1)), &mut facts);
    assert_eq!(summary(&more), [(3, 731)]);
    assert_eq!(more.grants[0].first_ordinal, 4);
    let text = more.outcomes[0].failure.as_ref().unwrap().to_string();
    assert!(text.starts_with("1 of this earning"), "{text}");
}

/// Generates catalogs of a few promotions, some capped, some inactive; requests also name unknown ones.
fn worlds() -> impl Strategy<Value = Catalog> {
    prop::collection::vec(prop::option::of(0u32..6), 1..4).prop_map(|caps| {
        let promotions = caps.iter().zip(1..).map(|(cap, number)| Promotion {
            cap: *cap,
            active: *cap != Some(0),
            ..promotion(number)
        });
        catalog(promotions.collect(), 250)
    })
}

/// Generates requests over few promotions and few earnings, so that they overlap. No earning repeats within a request.
fn requests() -> impl Strategy<Value = Vec<BulkEarn>> {
    let entry = (1u8..6, 1u32..5, 0u8..3);
    let request = prop::collection::vec(entry, 1..6).prop_map(|entries| {
        let mut seen = std::collections::HashSet::new();
        let mut request = command(&[]);
        for (promotion, count, earning) in entries {
            if seen.insert((promotion, earning)) {
                request.entries.extend(command(&[(promotion, count, &earning.to_string())]).entries);
            }
        }
        request
    });
    prop::collection::vec(request, 1..6)
}

proptest! {
    #[test]
    fn counts_add_up_caps_hold_and_a_repeat_grants_nothing(world in worlds(), requests in requests()) {
        let mut facts = Facts::default();
        for request in &requests {
            let decision = run(request, &world, &mut facts);
            prop_assert_eq!(decision.outcomes.len(), request.entries.len());
            for (entry, outcome) in request.entries.iter().zip(&decision.outcomes) {
                prop_assert!(outcome.instances.len() <= entry.earn_count as usize);
                prop_assert_eq!(outcome.failure.is_none(), outcome.instances.len() == entry.earn_count as usize);
            }
            let again = run(request, &world, &mut facts);
            prop_assert!(again.grants.is_empty());
            prop_assert_eq!(summary(&again), summary(&decision));
            for (first, second) in decision.outcomes.iter().zip(&again.outcomes) {
                prop_assert_eq!(&first.instances, &second.instances);
            }
        }
        let mut held = std::collections::HashMap::<ObjectId, u32>::new();
        let mut ids = std::collections::HashSet::new();
        for (key, earning) in &facts.earnings {
            *held.entry(key.promotion_id).or_default() += u32::try_from(earning.instances.len()).unwrap();
            prop_assert!(earning.instances.iter().all(|instance| ids.insert(instance.earn_id)), "an id given twice");
        }
        for (promotion, count) in held {
            let cap = world.promotions[&promotion].cap;
            prop_assert!(cap.is_none_or(|cap| count <= cap), "{} of {:?}", count, cap);
        }
    }

    #[test]
    fn the_order_of_entries_does_not_change_totals(world in worlds(), requests in requests(), seed in any::<u64>()) {
        let totals = |requests: &[BulkEarn]| {
            let mut facts = Facts::default();
            for request in requests {
                run(request, &world, &mut facts);
            }
            let mut used: Vec<_> = facts.used.into_iter().collect();
            used.sort();
            used
        };
        let mut shuffled = requests.clone();
        for (turn, request) in shuffled.iter_mut().enumerate() {
            let by = usize::try_from(seed % 7).unwrap() + turn;
            let length = request.entries.len();
            request.entries.rotate_left(by % length);
            if seed % 2 == 0 {
                request.entries.reverse();
            }
        }
        // This holds within one request. Over several, an earlier partial grant may leave the rest of the cap to
        // another earning.
        for (request, shuffled) in requests.iter().zip(&shuffled) {
            prop_assert_eq!(totals(std::slice::from_ref(request)), totals(std::slice::from_ref(shuffled)));
        }
    }
}
