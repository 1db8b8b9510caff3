// How moments read in the log.
import Testing

@testable import Core

struct LogTimeTests {
  private func text(_ nanoseconds: Int64) -> String {
    var bytes: [UInt8] = []
    bytes.append(WallTime(nanosecondsSince1970: nanoseconds))
    return String(decoding: bytes, as: UTF8.self)
  }

  // The seconds are what `date -u -d … +%s` prints.
  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00"),
      (951_782_399, "2000-02-28T23:59:59"),
      (951_782_400, "2000-02-29T00:00:00"),
      (951_868_800, "2000-03-01T00:00:00"),
      (1_709_164_800, "2024-02-29T00:00:00"),
      (1_795_231_938, "2026-11-21T03:32:18"),
      (1_798_761_599, "2026-12-31T23:59:59"),
      (4_107_542_399, "2100-02-28T23:59:59"),
      (4_107_542_400, "2100-03-01T00:00:00"),
      (9_214_646_400, "2262-01-01T00:00:00"),
      (-1, "1969-12-31T23:59:59"),
      (-2_203_891_201, "1900-02-28T23:59:59"),
      (-2_203_891_200, "1900-03-01T00:00:00"),
    ] as [(Int64, String)])
  func aSecondReadsAsTheCalendarSays(second: Int64, expected: String) {
    #expect(text(second * 1_000_000_000) == expected + ".000Z")
    #expect(text(second * 1_000_000_000 + 123_999_999) == expected + ".123Z")
  }

  @Test func lessThanAMillisecondIsCutOff() {
    #expect(text(999_999) == "1970-01-01T00:00:00.000Z")
    #expect(text(1_000_000) == "1970-01-01T00:00:00.001Z")
    #expect(text(999_999_999) == "1970-01-01T00:00:00.999Z")
    #expect(text(-1) == "1969-12-31T23:59:59.999Z")
  }

  @Test func theOutermostMomentsStillReadAsTimes() {
    #expect(text(.max) == "2262-04-11T23:47:16.854Z")
    #expect(text(.min) == "1677-09-21T00:12:43.145Z")
  }

  @Test func everyDayFollowsTheOneBeforeIt() {
    var date = CivilDate(daysSince1970: -106_752)
    for day in Int64(-106_751)...106_751 {
      let next = CivilDate(daysSince1970: day)
      #expect(next == following(date))
      date = next
    }
  }

  /// The next day by counting, as a calendar on the wall does it.
  private func following(_ date: CivilDate) -> CivilDate {
    let isLeap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0)
    let lengths: [Int64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    var next = date
    next.day += 1
    guard next.day > lengths[Int(date.month) - 1] else { return next }
    next.day = 1
    next.month += 1
    guard next.month > 12 else { return next }
    next.month = 1
    next.year += 1
    return next
  }
}
