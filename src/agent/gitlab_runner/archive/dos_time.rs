//! Zip's clock: local dates from 1980 in steps of two seconds, here always read and written as UTC, as Go
//! does. Pure arithmetic on the Gregorian calendar.

use zip::DateTime;

const DAY: i64 = 86_400;

/// The zip date of a Unix time in seconds; the earliest one for times that zip cannot tell.
pub(crate) fn from_unix(seconds: i64) -> DateTime {
    let (year, month, day) = date_of(seconds.div_euclid(DAY));
    let rest = seconds.rem_euclid(DAY);
    let small = |number: i64| u8::try_from(number).unwrap_or_default();
    u16::try_from(year)
        .ok()
        .and_then(|year| {
            let (hour, minute) = (small(rest / 3600), small(rest / 60 % 60));
            DateTime::from_date_and_time(
                year,
                small(month),
                small(day),
                hour,
                minute,
                small(rest % 60),
            )
            .ok()
        })
        .unwrap_or_default()
}

/// The Unix time in seconds of a zip date.
pub(crate) fn to_unix(date: DateTime) -> i64 {
    let days = days_to(date.year().into(), date.month().into(), date.day().into());
    let (hour, minute, second) = (date.hour(), date.minute(), date.second());
    days * DAY + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)
}

/// Days from 1970-01-01 to a date. The year is taken to begin in March, so that a leap day comes last.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that lies so many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_and_their_neighbours_survive_the_way_there_and_back() {
        for (seconds, year, month, day, hour) in [
            (951_782_400, 2000, 2, 29, 0),
            (1_709_251_198, 2024, 2, 29, 23),
            (4_102_444_800, 2100, 1, 1, 0),
            (315_532_800, 1980, 1, 1, 0),
        ] {
            let date = from_unix(seconds);
            assert_eq!(
                (date.year(), date.month(), date.day(), date.hour()),
                (year, month, day, hour)
            );
            assert_eq!(to_unix(date), seconds);
            assert_eq!(to_unix(from_unix(seconds + 1)), seconds, "steps of two seconds");
        }
        assert_eq!(from_unix(0), DateTime::default());
        for seconds in (315_532_800..4_000_000_000).step_by(40_000_004) {
            assert_eq!(to_unix(from_unix(seconds)), seconds);
        }
    }
}
