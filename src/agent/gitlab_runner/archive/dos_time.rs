//! Zip's clock: local dates from 1980 in steps of two seconds, here always read as UTC, as Go does. Pure arithmetic on the Gregorian calendar.

use zip::DateTime;

const DAY: i64 = 86_400;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_read_as_utc() {
        for (seconds, year, month, day, hour) in [
            (951_782_400, 2000, 2, 29, 0),
            (1_709_247_600, 2024, 2, 29, 23),
            (1_709_251_200, 2024, 3, 1, 0),
            (4_102_444_800, 2100, 1, 1, 0),
            (315_532_800, 1980, 1, 1, 0),
        ] {
            let date = DateTime::from_date_and_time(year, month, day, hour, 0, 0).expect("a date");
            assert_eq!(to_unix(date), seconds);
        }
        let date = DateTime::from_date_and_time(2024, 2, 29, 23, 59, 58).expect("a date");
        assert_eq!(to_unix(date), 1_709_251_198);
    }
}
