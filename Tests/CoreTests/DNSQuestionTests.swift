// Questions, byte for byte.
import Testing

@testable import Core

private let header: [UInt8] = [0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0]
private let name: [UInt8] = [2] + [UInt8]("db") + [7] + [UInt8]("example") + [0]

@Test(arguments: [(Family.ipv4, UInt8(1)), (.ipv6, 28)])
func aQuestionIsEncodedAsRFC1035Says(family: Family, type: UInt8) {
  let question = DNSQuestion(name: [UInt8]("db.example"), family: family)
  let plain = header + [0] + name + [0, type, 0, 1]
  #expect(question.message(id: 0xabcd, edns: false) == plain)
}

@Test(arguments: [(Family.ipv4, UInt8(1)), (.ipv6, 28)])
func withEDNSItSaysHowLongAnAnswerMayBe(family: Family, type: UInt8) {
  let question = DNSQuestion(name: [UInt8]("db.example"), family: family)
  // The root, OPT, 1232 bytes, and nothing more (RFC 6891, section 6.1.2).
  let opt: [UInt8] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]
  #expect(
    question.message(id: 0xabcd, edns: true) == header + [1] + name + [0, type, 0, 1] + opt)
}

@Test(
  arguments: [
    ("a", [1, 0x61, 0]), ("a.b", [1, 0x61, 1, 0x62, 0]),
    ("_db-1.x", [5, 0x5f, 0x64, 0x62, 0x2d, 0x31, 1, 0x78, 0]),
  ] as [(String, [UInt8])])
func aNameIsWrittenLabelByLabel(name: String, wire: [UInt8]) {
  #expect(wireName([UInt8](name.utf8)) == wire)
}

@Test func theLongestNameHas255Bytes() {
  #expect(longestName.count == 253)
  let question = DNSQuestion(name: longestName, family: .ipv4)
  #expect(question.message(id: 0, edns: false).count == 12 + 255 + 4)
}

/// Labels of 63, 63, 63 and 61.
let longestName: [UInt8] = [63, 63, 63, 61].map { String(repeating: "x", count: $0) }
  .joined(separator: ".").utf8.map { $0 }
