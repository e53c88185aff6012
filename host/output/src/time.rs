//! Frame times as EVE writes them: `2016-01-06T01:11:42.562226+0000`, always UTC.

/// Appends the time, given in nanoseconds since the epoch, with microseconds.
pub fn timestamp(out: &mut Vec<u8>, nanoseconds: u64) {
    let seconds = nanoseconds / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds % 86_400;
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, of_day / 3600, 2);
    out.push(b':');
    digits(out, of_day / 60 % 60, 2);
    out.push(b':');
    digits(out, of_day % 60, 2);
    out.push(b'.');
    digits(out, nanoseconds / 1000 % 1_000_000, 6);
    out.extend_from_slice(b"+0000");
}

/// A time of day, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: u64,
    /// From 1.
    pub month: u64,
    /// From 1.
    pub day: u64,
    /// Hour.
    pub hour: u64,
    /// Minute.
    pub minute: u64,
    /// Second.
    pub second: u64,
    /// Microsecond.
    pub microsecond: u64,
}

/// The parts of a time in nanoseconds since the epoch.
pub fn civil(nanoseconds: u64) -> Civil {
    let seconds = nanoseconds / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds % 86_400;
    Civil {
        year,
        month,
        day,
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
        microsecond: nanoseconds / 1000 % 1_000_000,
    }
}

/// Year, month, day of a day number since 1970-01-01 in the Gregorian calendar: eras of 400 years (146 097 days) that
/// begin on 1 March, so that the leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn digits(out: &mut Vec<u8>, value: u64, width: u32) {
    for i in (0..width).rev() {
        out.push(b'0' + (value / 10u64.pow(i) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000+0000"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000+0000"),
            (951_868_799_999_999_999, "2000-02-29T23:59:59.999999+0000"),
            (1_452_042_702_562_226_000, "2016-01-06T01:11:42.562226+0000"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000+0000"),
        ];
        for (time, expected) in cases {
            let mut out = Vec::new();
            timestamp(&mut out, time);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
