//! Computes the last millisecond at which an earned promotion is valid.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::{GapInfo, Tz};

use super::time::MILLISECOND;
use super::{Expiry, Timestamp};

/// Returns the last millisecond at which a promotion earned at `event_time` is valid.
///
/// `zone` is the organization's time zone, `end` the promotion's end. The result is [`Timestamp::MAX`] when the last
/// day is outside the calendar.
pub fn valid_till(expiry: Expiry, end: Timestamp, event_time: Timestamp, zone: Tz) -> Timestamp {
    match expiry {
        Expiry::WithPromotion => end,
        Expiry::DaysFromEarning(days) => event_time
            .in_calendar()
            .and_then(|event| {
                let day = event.with_timezone(&zone).date_naive();
                let last_day = day.checked_add_days(Days::new(days.into()))?;
                end_of_day(last_day, zone)
            })
            .unwrap_or(Timestamp::MAX),
    }
}

/// Returns the last millisecond at which clocks in `zone` do not yet show a date after `day`.
fn end_of_day(day: NaiveDate, zone: Tz) -> Option<Timestamp> {
    let midnight = NaiveDateTime::new(day.succ_opt()?, NaiveTime::MIN);
    let mapped = zone.from_local_datetime(&midnight);
    let next_day = match (mapped.earliest(), mapped.latest()) {
        (Some(first), Some(second)) if first != second => {
            // Clocks show this midnight twice. In St. John's, which once changed at one minute past midnight, they went
            // back into `day`, so `day` ends with the second. In Havana they went back to midnight itself, so the next
            // day began with the first.
            let before_second = second - chrono::Duration::milliseconds(1);
            if before_second.date_naive() == day { second } else { first }
        }
        (Some(only), _) => only,
        // Clocks skip this midnight (São Paulo, Beirut), or the whole day after it (Apia): the next day begins at the
        // end of the gap.
        _ => GapInfo::new(&midnight, &zone)?.end?,
    };
    Some(Timestamp::from(next_day) - MILLISECOND)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn time(text: &str) -> Timestamp {
        DateTime::parse_from_rfc3339(text).expect(text).into()
    }

    fn days_from_earning(days: u32, event: &str, zone: &str) -> String {
        let valid_till =
            valid_till(Expiry::DaysFromEarning(days), Timestamp::EPOCH, time(event), zone.parse().expect(zone));
        valid_till.to_string()
    }

    #[test]
    fn with_promotion_is_the_end_date() {
        let end = Timestamp::from_millis(1_767_205_799_999);
        assert_eq!(valid_till(Expiry::WithPromotion, end, Timestamp::from_millis(5), Tz::UTC), end);
    }

    #[test]
    fn days_are_counted_in_the_zone_of_the_organization() {
        for (days, event, zone, expected) in [
            (30, "2025-10-29T15:00:00Z", "Asia/Kolkata", "2025-11-28T18:29:59.999Z"),
            // 18:30 in UTC is the next day in India.
            (30, "2025-10-29T18:29:59.999Z", "Asia/Kolkata", "2025-11-28T18:29:59.999Z"),
            (30, "2025-10-29T18:30:00Z", "Asia/Kolkata", "2025-11-29T18:29:59.999Z"),
            (1, "2024-02-28T00:00:00Z", "UTC", "2024-02-29T23:59:59.999Z"),
            (1, "2025-12-31T23:59:59.999Z", "UTC", "2026-01-01T23:59:59.999Z"),
            // The next two lines cross a change of the clocks, in spring and in autumn.
            (1, "2025-03-29T12:00:00Z", "Europe/Paris", "2025-03-30T21:59:59.999Z"),
            (1, "2025-10-25T12:00:00Z", "Europe/Paris", "2025-10-26T22:59:59.999Z"),
        ] {
            assert_eq!(days_from_earning(days, event, zone), expected, "{days} days from {event} in {zone}");
        }
    }

    #[test]
    fn a_day_whose_next_midnight_is_skipped_or_shown_twice_ends_where_clocks_leave_it() {
        for (event, zone, expected) in [
            // 2018-11-04 began at 01:00 in São Paulo (UTC-2), 2018-11-03 was UTC-3.
            ("2018-11-02T15:00:00Z", "America/Sao_Paulo", "2018-11-04T02:59:59.999Z"),
            // 2018-02-17 23:00 came twice in São Paulo; the midnight after it came once.
            ("2018-02-16T15:00:00Z", "America/Sao_Paulo", "2018-02-18T02:59:59.999Z"),
            // 2022-03-27 began at 01:00 in Beirut.
            ("2022-03-25T12:00:00Z", "Asia/Beirut", "2022-03-26T21:59:59.999Z"),
            // Havana shows 2021-11-07 00:00 twice, the first (UTC-4) begins the day.
            ("2021-11-05T15:00:00Z", "America/Havana", "2021-11-07T03:59:59.999Z"),
            // St. John's shows its midnight twice too, but clocks showed the day before again in between.
            ("2010-11-05T15:00:00Z", "America/St_Johns", "2010-11-07T03:29:59.999Z"),
            // Apia had no 2011-12-30: a validity to that day ends with the 29th.
            ("2011-12-29T15:00:00Z", "Pacific/Apia", "2011-12-30T09:59:59.999Z"),
        ] {
            assert_eq!(days_from_earning(1, event, zone), expected, "the day after {event} in {zone}");
        }
    }

    #[test]
    fn a_day_outside_the_calendar_never_ends() {
        for (days, event) in [(1, Timestamp::MAX), (u32::MAX, Timestamp::EPOCH)] {
            let valid_till = valid_till(Expiry::DaysFromEarning(days), Timestamp::EPOCH, event, Tz::UTC);
            assert_eq!(valid_till.millis(), Timestamp::MAX.millis());
        }
    }
}
