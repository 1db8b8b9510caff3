// The files that the fuzzer begins with. With WRITE_SEEDS=1 in the environment they are written
// anew; without, they are what this file says.
import Foundation
import Testing

@testable import Core

private let db = DNSQuestion(name: [UInt8]("db.example"), family: .ipv4)
private let db6 = DNSQuestion(name: [UInt8]("db.example"), family: .ipv6)
private let writer = DNSQuestion(
  name: [UInt8]("pool.cluster-c1.eu-west-1.rds.amazonaws.com"), family: .ipv4)

private func truncated(_ message: DNSWriter) -> DNSWriter {
  var message = message
  message.flags |= DNSWriter.flagTruncated
  return message
}

private func referral() -> DNSWriter {
  var message = DNSWriter(
    to: db, authorities: [.ns("example", "ns.example")],
    additionals: [.a("ns.example", 0x0a00_0035)])
  message.flags &= ~DNSWriter.flagRecursive
  return message
}

private func uncompressed() -> DNSWriter {
  var message = DNSWriter(
    to: db, answers: [.cname("db.example", "a.example"), .a("a.example", 0x0a00_0001)])
  message.compresses = false
  return message
}

/// An instance of Aurora behind the endpoint of its cluster.
private func aurora() -> DNSWriter {
  let name = DNSWriter.Name.text(writer.name)
  let instance: DNSWriter.Name = "one.c1.eu-west-1.rds.amazonaws.com"
  return DNSWriter(
    to: writer, answers: [.cname(name, instance, ttl: 5), .a(instance, 0x0a00_0105, ttl: 5)],
    additionals: [.opt()])
}

private let messages: [(String, DNSWriter, DNSQuestion, DNSReply)] = [
  ("a", DNSWriter(to: db, answers: [.a("db.example", 0x0a00_0001)]), db, one),
  (
    "aaaa", DNSWriter(to: db6, answers: [.aaaa("db.example", 1), .aaaa("db.example", 2)]), db6,
    .addresses([ipv6(1), ipv6(2)], ttl: 60)
  ),
  ("aurora", aurora(), writer, .addresses([ipv4(0x0a00_0105)], ttl: 5)),
  (
    "chain-out-of-order",
    DNSWriter(
      to: db,
      answers: [
        .a("three.example", 0x0a00_0001), .cname("two.example", "three.example", ttl: 300),
        .cname("db.example", "one.example"), .cname("one.example", "two.example"),
      ]), db, one
  ),
  (
    "chain-that-loops",
    DNSWriter(
      to: db,
      answers: [.cname("db.example", "one.example"), .cname("one.example", "db.example")]), db,
    .fault(.malformed)
  ),
  ("uncompressed", uncompressed(), db, one),
  (
    "nodata", DNSWriter(to: db6, authorities: [.soa("example")], additionals: [.opt()]), db6,
    .noAddress(ttl: 60)
  ),
  (
    "nxdomain", DNSWriter(to: db, code: 3, authorities: [.soa("example", minimum: 15)]), db,
    .noName(ttl: 15)
  ),
  ("servfail", DNSWriter(to: db, code: 2, additionals: [.opt()]), db, .fault(.serverFailure)),
  ("refused", DNSWriter(to: db, code: 5), db, .fault(.refused)),
  (
    "badvers", DNSWriter(to: db, additionals: [.opt(extendedCode: 1)]), db, .fault(.code(16))
  ),
  ("referral", referral(), db, .fault(.notRecursive)),
  ("truncated", truncated(DNSWriter(to: db, additionals: [.opt()])), db, .truncated),
  (
    "many",
    DNSWriter(to: db, answers: (1...40).map { .a("db.example", 0x0a00_0000 + $0) }), db,
    .addresses((1...32).map { ipv4(0x0a00_0000 + $0) }, ttl: 60)
  ),
  (
    "no-hosts",
    DNSWriter(
      to: db, answers: [0, 0xe000_0001, 0xffff_ffff].map { .a("db.example", $0) }), db,
    .noAddress(ttl: nil)
  ),
  (
    "no-hosts-6",
    DNSWriter(
      to: db6,
      answers: [0, 0xff02_0000_0000_0000].map { high in
        .address("db.example", IPAddress(high: high, low: 0))
      }), db6, .noAddress(ttl: nil)
  ),
  (
    "other-types",
    DNSWriter(
      to: db,
      answers: [
        .init(owner: "db.example", type: 65280, data: [.bytes(Array(repeating: 7, count: 40))]),
        .init(owner: "db.example", type: 16, data: [.bytes([3] + [UInt8]("v=1"))]),
        .a("db.example", 0), .a("db.example", 0x0a00_0001),
      ]), db, one
  ),
]

private let one = DNSReply.addresses([ipv4(0x0a00_0001)], ttl: 60)

private let texts: [(String, String)] = [
  (
    "resolv.conf",
    """
    # A comment
    nameserver 10.0.0.2
    nameserver 2001:db8::53
    search eu-west-1.compute.internal example.com
    options timeout:2 attempts:3 ndots:5 rotate single-request use-vc no-aaaa

    """
  ),
  (
    "resolv.conf-long",
    "search " + text(Array(longestName.dropLast(3))) + " example.com\noptions ndots:0 timeout:99\n"
  ),
  (
    "hosts",
    """
    127.0.0.1\tlocalhost
    ::1 localhost ip6-localhost
    10.0.0.1  db.example db # the first
    2001:db8::1 DB.

    """
  ),
]

private let folder = URL(filePath: #filePath).deletingLastPathComponent()
  .appending(path: "../Fuzz/seeds").standardized

struct FuzzSeedsTests {
  @Test(arguments: messages.indices) func aSeedIsARealMessage(index: Int) throws {
    let (name, message, question, expected) = messages[index]
    #expect(reply(message, to: question) == expected)
    try expectSeed(name, message.bytes)
  }

  @Test(arguments: texts) func aSeedIsARealFile(name: String, text: String) throws {
    try expectSeed(name, [UInt8](text.utf8))
  }

  @Test func thereAreNoOthers() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(names.sorted() == (messages.map(\.0) + texts.map(\.0)).sorted())
  }

  private func expectSeed(_ name: String, _ bytes: [UInt8]) throws {
    let file = folder.appending(path: name)
    if ProcessInfo.processInfo.environment["WRITE_SEEDS"] != nil {
      try Data(bytes).write(to: file)
    }
    #expect([UInt8](try Data(contentsOf: file)) == bytes)
  }
}
