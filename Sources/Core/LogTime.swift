// How a moment reads in the log: UTC with milliseconds, in the form of RFC 3339.
// Must not read a clock, and knows nothing of time zones.

/// Year, month and day in the Gregorian calendar.
struct CivilDate: Equatable {
  var year: Int64
  var month: Int64
  var day: Int64

  /// The date that lies `days` after 1970-01-01, or before it when negative.
  ///
  /// Years are counted from March, so that the leap day is a year's last day and needs no case of
  /// its own; 400 years (an era) always have 146,097 days. Method: Howard Hinnant,
  /// "chrono-compatible low-level date algorithms", civil_from_days.
  init(daysSince1970 days: Int64) {
    let daysPerEra: Int64 = 146_097
    let shifted = days + 719_468  // counted from 0000-03-01
    let era = (shifted >= 0 ? shifted : shifted - (daysPerEra - 1)) / daysPerEra
    let dayOfEra = shifted - era * daysPerEra
    let leapDays = dayOfEra / 1_460 - dayOfEra / 36_524 + dayOfEra / (daysPerEra - 1)
    let yearOfEra = (dayOfEra - leapDays) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }
}

extension ByteSink {
  /// Appends `time` as `2026-11-21T03:32:18.123Z`, 24 bytes. Less than a millisecond is cut off,
  /// not rounded: a line never carries a time that has not come yet.
  mutating func append(_ time: WallTime) {
    let millisecondsPerDay: Int64 = 86_400_000
    let total = time.nanosecondsSince1970.flooringDivision(by: 1_000_000)
    let days = total.flooringDivision(by: millisecondsPerDay)
    let date = CivilDate(daysSince1970: days)
    let ofDay = UInt64(truncatingIfNeeded: total - days * millisecondsPerDay)
    // 64-bit nanoseconds end in the year 2262: four digits always do.
    append(digits: UInt64(truncatingIfNeeded: date.year), width: 4)
    append("-")
    append(digits: UInt64(truncatingIfNeeded: date.month), width: 2)
    append("-")
    append(digits: UInt64(truncatingIfNeeded: date.day), width: 2)
    append("T")
    append(digits: ofDay / 3_600_000, width: 2)
    append(":")
    append(digits: ofDay / 60_000 % 60, width: 2)
    append(":")
    append(digits: ofDay / 1_000 % 60, width: 2)
    append(".")
    append(digits: ofDay % 1_000, width: 3)
    append("Z")
  }

  /// Appends the last `width` digits of `number`, zeros in front included.
  mutating func append(digits number: UInt64, width: Int) {
    let tenth = number.tenth
    if width > 1 { append(digits: tenth, width: width - 1) }
    append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number &- tenth &* 10))
  }
}

extension Int64 {
  /// Towards negative infinity, so that a moment before 1970 falls into its own second and day.
  fileprivate func flooringDivision(by divisor: Int64) -> Int64 {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }
}
