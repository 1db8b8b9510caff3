// The two forms of a log line, whatever bytes go in.
import Foundation
import Testing

@testable import Core

/// 2026-11-21T03:32:18.123Z
let logTime = WallTime(nanosecondsSince1970: 1_795_231_938_123_456_789)

/// The line that `fill` makes, begun and ended by it.
func logLine(_ format: LogFormat, _ fill: (inout LogLine) -> Void) -> String {
  var line = LogLine(format: format)
  fill(&line)
  return String(decoding: line.bytes, as: UTF8.self)
}

struct LogLineTests {
  private let textStart = "2026-11-21T03:32:18.123Z info  event"
  private let jsonStart = #"{"time":"2026-11-21T03:32:18.123Z","level":"info","message":"event""#

  private func fields(_ format: LogFormat, _ fill: (inout LogLine) -> Void) -> String {
    logLine(format) { line in
      line.begin(.info, at: logTime, "event")
      fill(&line)
      line.end()
    }
  }

  private func expect(
    text: String, json: String, _ fill: (inout LogLine) -> Void,
    at location: SourceLocation = #_sourceLocation
  ) {
    #expect(fields(.text, fill) == textStart + text + "\n", sourceLocation: location)
    #expect(fields(.json, fill) == jsonStart + json + "}\n", sourceLocation: location)
  }

  @Test func aLineWithoutFieldsIsWhole() {
    expect(text: "", json: "") { _ in }
  }

  @Test(arguments: [
    (LogLevel.error, "error", "error"), (.warn, "warn", "warn "), (.info, "info", "info "),
    (.debug, "debug", "debug"),
  ])
  func levelsLineUpInText(level: LogLevel, name: String, padded: String) {
    let fill: (inout LogLine) -> Void = { line in
      line.begin(level, at: logTime, "event")
      line.end()
    }
    #expect(logLine(.text, fill) == "2026-11-21T03:32:18.123Z \(padded) event\n")
    let json = #"{"time":"2026-11-21T03:32:18.123Z","level":"\#(name)","message":"event"}"#
    #expect(logLine(.json, fill) == json + "\n")
  }

  @Test func numbersStandBare() {
    expect(text: " a=0 b=18446744073709551615", json: #","a":0,"b":18446744073709551615"#) {
      $0.add("a", 0)
      $0.add("b", .max)
    }
  }

  @Test(
    arguments: [
      (0, "0.000"), (999, "0.000"), (1_000, "0.001"), (1_234_567, "1.234"), (99_999, "0.099"),
      (5_678_123_999, "5678.123"), (-1, "0.000"), (.min, "0.000"), (.max, "9223372036854.775"),
    ] as [(Int64, String)])
  func millisecondsHaveThreeDecimals(nanoseconds: Int64, expected: String) {
    expect(text: " a=\(expected)", json: #","a":\#(expected)"#) {
      $0.add("a", milliseconds: Nanoseconds(count: nanoseconds))
    }
  }

  @Test func endpointsAndTargetsHaveBracketsForIPv6Alone() {
    let six = IPAddress(high: 0x2001_0db8_0000_0000, low: 1)
    let four = IPAddress(ipv4: 0x0a00_0007)
    expect(
      text: " a=10.0.0.7:1 b=[2001:db8::1]:65535 c=db.example:5432 d=[2001:db8::1]:1 e=10.0.0.7:1",
      json: #","a":"10.0.0.7:1","b":"[2001:db8::1]:65535","c":"db.example:5432""#
        + #","d":"[2001:db8::1]:1","e":"10.0.0.7:1""#
    ) {
      $0.add("a", Endpoint(address: four, port: 1))
      $0.add("b", Endpoint(address: six, port: 65535))
      let name = [UInt8]("db.example")
      $0.add("c", Target(host: name, kind: .name(name), port: 5432))
      $0.add("d", Target(host: [UInt8]("2001:db8::1"), kind: .address(six), port: 1))
      $0.add("e", Target(host: [UInt8]("10.0.0.7"), kind: .address(four), port: 1))
    }
  }

  @Test(arguments: [
    ("plain-text_1.2/3", "plain-text_1.2/3", "plain-text_1.2/3"),
    ("", #""""#, ""),
    ("two words", #""two words""#, "two words"),
    (#"say "it""#, #""say \"it\"""#, #"say \"it\""#),
    ("a=b", #""a=b""#, "a=b"),
    (#"a\b"#, #""a\\b""#, #"a\\b"#),
    ("a\nb\tc\r\0\u{1b}\u{7f}", #""a\nb\tc\x0d\x00\x1b\x7f""#, #"a\nb\tc\u000d\u0000\u001b\u007f"#),
    ("né", #""n\xc3\xa9""#, #"n\u00c3\u00a9"#),
  ])
  func aTextIsQuotedWhereItMustBe(value: String, text: String, json: String) {
    expect(text: " a=\(text)", json: #","a":"\#(json)""#) {
      $0.add("a", bytes: [UInt8](value.utf8))
    }
  }

  @Test func aHostileHostStaysInItsField() {
    let host = [UInt8]("a b\"\n")
    expect(text: #" a="a b\"\n:1" b=2"#, json: #","a":"a b\"\n:1","b":2"#) {
      $0.add("a", Target(host: host, kind: .name(host), port: 1))
      $0.add("b", 2)
    }
  }

  @Test func aStaticTextIsWrittenAsBytesAre() {
    expect(text: #" a=SIGTERM b="two words""#, json: #","a":"SIGTERM","b":"two words""#) {
      $0.add("a", "SIGTERM" as StaticString)
      $0.add("b", "two words" as StaticString)
    }
  }
}

// Lines that are cut.
extension LogLineTests {
  @Test func aTextIsCutAtItsLimitAndNotBefore() {
    let fits = String(repeating: "x", count: LogLine.valueLimit)
    expect(text: " a=\(fits)", json: #","a":"\#(fits)""#) { $0.add("a", bytes: [UInt8](fits.utf8)) }
    expect(text: " a=\"\(fits)…\" b=1", json: #","a":"\#(fits)…","b":1"#) {
      $0.add("a", bytes: [UInt8]((fits + "x").utf8))
      $0.add("b", 1)
    }
  }

  @Test func anEscapeIsNeverCutInItsMiddle() {
    let controls = [UInt8](repeating: 1, count: 255)
    let text = String(repeating: #"\x01"#, count: LogLine.valueLimit / 4)
    let json = String(repeating: #"\u0001"#, count: LogLine.valueLimit / 6)
    expect(text: " a=\"\(text)…\"", json: #","a":"\#(json)…""#) { $0.add("a", bytes: controls) }
  }

  @Test func fieldsThatFindNoRoomAreLeftOutToTheLineEnd() {
    let long = String(repeating: "x", count: 400)
    let fill: (inout LogLine) -> Void = { line in
      for _ in 0..<3 { line.add("a", bytes: [UInt8](long.utf8)) }
      line.add("b", 1)
    }
    #expect(fields(.text, fill) == textStart + " a=\(long) a=\(long) …\n")
    #expect(
      fields(.json, fill) == jsonStart + #","a":"\#(long)","a":"\#(long)","truncated":true}"# + "\n"
    )
  }

  @Test func aCutLineLeavesNothingToTheNext() {
    let long = [UInt8](repeating: 0, count: 500)
    for format in LogFormat.allCases {
      let second = logLine(format) { line in
        line.begin(.error, at: logTime, "first")
        for _ in 0..<5 { line.add("a", bytes: long) }
        line.end()
        line.begin(.info, at: logTime, "event")
        line.end()
      }
      #expect(second == fields(format) { _ in })
    }
  }

  @Test func aLineKeepsItsStorage() {
    for format in LogFormat.allCases {
      var line = LogLine(format: format)
      let storage = line.bytes.withUnsafeBufferPointer { $0.baseAddress }
      for number in 0..<1_000 {
        line.begin(.info, at: logTime, "event")
        for _ in 0..<number % 10 { line.add("a", bytes: [UInt8](repeating: 0, count: number)) }
        line.end()
        #expect(line.bytes.withUnsafeBufferPointer { $0.baseAddress } == storage)
      }
    }
  }
}

// Any bytes at all.
extension LogLineTests {
  /// Bytes of which many are special, for many lengths.
  private func bytes(_ random: inout SeededGenerator) -> [UInt8] {
    let special = [UInt8]("\"\\\n\t\r {}[]:,=ué…".utf8) + [0, 0x1f, 0x7f, 0x80, 0xc3, 0xff]
    let count = Int.random(
      in: 0...[8, 64, 255, 600].randomElement(using: &random)!, using: &random)
    return (0..<count).map { _ in
      Bool.random(using: &random)
        ? special.randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random)
    }
  }

  @Test(arguments: 0..<2_000 as Range<UInt64>)
  func whateverGoesInAJSONLineIsOneValidObject(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var line = LogLine(format: .json)
    let (first, second, host) = (bytes(&random), bytes(&random), bytes(&random))
    line.begin(.warn, at: logTime, "event")
    line.add("first", bytes: first)
    line.add("target", Target(host: host, kind: .name(host), port: 1))
    line.add("number", random.next())
    line.add("second", bytes: second)
    line.end()
    expectOneShortLine(line.bytes)
    let parsed = try JSONSerialization.jsonObject(with: Data(line.bytes))
    let object = try #require(parsed as? [String: Any])
    #expect(object["message"] as? String == "event")
    let read = try #require(object["first"] as? String)
    expect(latin1: read, isStartOf: first)
    if object["truncated"] == nil {
      expect(latin1: try #require(object["second"] as? String), isStartOf: second)
    }
  }

  @Test(arguments: 0..<2_000 as Range<UInt64>)
  func whateverGoesInATextLineItsFieldsComeOut(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var line = LogLine(format: .text)
    let values = (0..<3).map { _ in bytes(&random) }
    line.begin(.info, at: logTime, "event")
    for value in values { line.add("key", bytes: value) }
    line.end()
    expectOneShortLine(line.bytes)
    var rest = line.bytes.dropFirst(textStart.utf8.count)
    for value in values {
      guard rest.starts(with: " key=".utf8) else {
        #expect(rest.elementsEqual(" …\n".utf8))
        return
      }
      rest = rest.dropFirst(5)
      let (read, isCut) = takeTextValue(&rest)
      #expect(isCut ? value.starts(with: read) && read.count < value.count : read == value)
    }
    #expect(rest.elementsEqual("\n".utf8))
  }

  private func expectOneShortLine(_ line: [UInt8]) {
    #expect(line.count <= LogLine.limit)
    #expect(line.firstIndex(of: UInt8(ascii: "\n")) == line.count - 1)
    let ellipsis = Set("…".utf8)
    #expect(line.dropLast().allSatisfy { 0x20...0x7e ~= $0 || ellipsis.contains($0) })
  }

  /// A cut value ends in an ellipsis, which no value brings along: its bytes are escaped singly.
  private func expect(latin1 read: String, isStartOf value: [UInt8]) {
    let isCut = read.hasSuffix("…")
    let bytes = (isCut ? read.dropLast() : read[...]).unicodeScalars.map { UInt8($0.value) }
    #expect(isCut ? value.starts(with: bytes) && bytes.count < value.count : bytes == value)
  }

  /// Reads one value as a careful reader of the text form would.
  private func takeTextValue(
    _ rest: inout ArraySlice<UInt8>
  ) -> (value: [UInt8], isCut: Bool) {
    guard rest.first == UInt8(ascii: "\"") else {
      let value = rest.prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
      rest = rest[value.endIndex...]
      return (Array(value), false)
    }
    rest.removeFirst()
    var value: [UInt8] = []
    var isCut = false
    while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
      // The only bytes beyond ASCII are the ellipsis of a cut.
      if byte > 0x7f { isCut = true }
      guard byte == UInt8(ascii: "\\"), let escape = rest.popFirst() else {
        if byte <= 0x7f { value.append(byte) }
        continue
      }
      switch escape {
      case UInt8(ascii: "n"): value.append(10)
      case UInt8(ascii: "t"): value.append(9)
      case UInt8(ascii: "x"):
        value.append(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)!)
        rest = rest.dropFirst(2)
      case _: value.append(escape)
      }
    }
    return (value, isCut)
  }
}
