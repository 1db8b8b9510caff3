import Core
import Testing

@Test(arguments: [
  ("0", 0), ("0s", 0), ("0ms", 0), ("500ms", 500), ("5s", 5000), ("5", 5000), ("2m", 120_000),
  ("1h", 3_600_000), ("24h", 86_400_000), ("9223372036s", 9_223_372_036_000),
])
func aDurationHasAUnit(written: String, milliseconds: Int64) {
  #expect(parseDuration([UInt8](written.utf8)[...]) == .milliseconds(milliseconds))
}

@Test(arguments: [
  "", "5x", "s", "ms", "5 s", " 5s", "5s ", "-5s", "+5s", "1.5s", "5S", "5sec", "05s", "1h30m",
  "5us", "5ns", "5d", "1e3", "0x5s", "∞",
  "9223372037s", "18446744073709551615s", "18446744073709551616",
  "2562048h", "99999999999999999999ms",
])
func anythingElseIsNoDuration(written: String) {
  #expect(parseDuration([UInt8](written.utf8)[...]) == nil)
}

@Test(arguments: [
  ("CONNECT_TIMEOUT", ["0", "0ms", "25h", "86401", "5x", "s", "-5s", "1.5s"], "from 1ms to 24h"),
  ("IDLE_TIMEOUT", ["25h", "OFF", "none", "5x"], "from 1ms to 24h, off or 0"),
  ("DRAIN_DELAY", ["25h", "off", "-1"], "from 0 to 24h"),
  ("DRAIN_TIMEOUT", ["25h", "1d", "5000000000000000000h"], "from 0 to 24h"),
  ("PEER_TIMEOUT", ["0", "999ms", "61m", "off"], "from 1s to 1h"),
])
func aTimeHasItsRange(variable: String, values: [String], range: String) {
  for value in values {
    #expect(
      complaints(about: proxy([variable: value])) == [
        "\(variable)=\"\(value)\": expected a time \(range), "
          + "written as 500ms, 5s, 2m, 1h or plain seconds"
      ])
  }
}

@Test func theEndsOfARangeAreInIt() throws {
  #expect(try parse(proxy(["CONNECT_TIMEOUT": "1ms"])).connectTimeout == .milliseconds(1))
  #expect(try parse(proxy(["CONNECT_TIMEOUT": "24h"])).connectTimeout == .seconds(86_400))
  #expect(try parse(proxy(["PEER_TIMEOUT": "1h"])).peerTimeout == .seconds(3600))
  #expect(try parse(proxy(["DRAIN_TIMEOUT": "0"])).drainTimeout == .zero)
  #expect(try parse(proxy(["IDLE_TIMEOUT": "1ms"])).idleTimeout == .milliseconds(1))
}

@Test(arguments: ["off", "0", "0s", ""]) func anIdleTimeoutCanBeOff(value: String) throws {
  #expect(try parse(proxy(["IDLE_TIMEOUT": value])).idleTimeout == nil)
}

@Test(arguments: 0..<20) func noBytesTrapTheDurationParser(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<5000 {
    let bytes = random.bytes(from: "0123456789smh-+. ", count: 0...24)
    if let duration = parseDuration(bytes[...]) { #expect(duration >= .zero) }
    _ = parseNumberFile(bytes)
    if let number = parseDecimal(bytes[...]) {
      var written: [UInt8] = []
      written.append(decimal: number)
      #expect(written == bytes)
    }
  }
}

@Test(arguments: [
  ("16384\n", 16384), ("0\n", 0), ("-1\n", -1), ("9223372036854775807", Int64.max),
  (" 7 ", 7),
])
func aFileWithANumber(written: String, number: Int64) {
  #expect(parseNumberFile([UInt8](written.utf8)) == number)
}

@Test(arguments: ["", "\n", "-", "--1", "1 2", "max", "9223372036854775808", "1\n2\n", "0x10"])
func aFileWithoutANumber(written: String) {
  #expect(parseNumberFile([UInt8](written.utf8)) == nil)
}
