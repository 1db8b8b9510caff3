// Messages cut off, bent and made up: whatever comes, what is believed can be connected to.
import Testing

@testable import Core

private let db = DNSQuestion(name: [UInt8]("db.example"), family: .ipv4)
private let db6 = DNSQuestion(name: [UInt8]("db.example"), family: .ipv6)

/// One of each kind of message that has records.
private let messages: [(DNSWriter, DNSQuestion)] = [
  (
    DNSWriter(
      to: db,
      answers: [
        .cname("db.example", "one.example"), .cname("one.example", "two.example"),
        .a("two.example", 0x0a00_0001), .a("two.example", 0x0a00_0002),
      ], additionals: [.opt()]), db
  ),
  (DNSWriter(to: db6, answers: [.aaaa("db.example", 1), .aaaa("db.example", 2)]), db6),
  (DNSWriter(to: db, code: 3, authorities: [.soa("example")], additionals: [.opt()]), db),
  (
    DNSWriter(
      to: db, authorities: [.ns("example", "ns.example")],
      additionals: [.a("ns.example", 0x0a00_0035), .opt(extendedCode: 1)]), db
  ),
]

/// What a lookup relies on, whoever sent the bytes.
private func expectSound(
  _ reply: DNSReply, byTCP: Bool, at location: SourceLocation = #_sourceLocation
) {
  switch reply {
  case .addresses(let addresses, _):
    #expect(1...32 ~= addresses.count, sourceLocation: location)
    for (index, address) in addresses.enumerated() {
      #expect(!address.isUnspecified && !address.isMulticast, sourceLocation: location)
      #expect(!addresses[..<index].contains(address), sourceLocation: location)
    }
  case .truncated: #expect(!byTCP, sourceLocation: location)
  case .notOurs, .noAddress, .noName, .fault: break
  }
}

struct DNSNoiseTests {
  @Test(arguments: messages.indices, [false, true])
  func aMessageCutOffIsNeverBelieved(index: Int, compresses: Bool) {
    var (writer, question) = messages[index]
    writer.compresses = compresses
    let bytes = writer.bytes
    let questionEnd = 12 + question.name.count + 2 + 4
    for length in 0..<bytes.count {
      let cut = readReply(
        Array(bytes.prefix(length)), to: question, id: writer.id, byTCP: length % 2 == 0)
      #expect(cut == (length < questionEnd ? .notOurs : .fault(.malformed)), "\(length) bytes")
    }
  }

  @Test(arguments: messages.indices) func whatFollowsAMessageIsIgnored(index: Int) {
    let (writer, question) = messages[index]
    let whole = reply(writer, to: question)
    for count in [1, 2, 12, 1000, 70_000] {
      let longer = writer.bytes + Array(repeating: 0xc0, count: count)
      #expect(readReply(longer, to: question, id: writer.id, byTCP: true) == whole)
    }
  }

  @Test func nothingIsNotOurs() {
    #expect(readReply([], to: db, id: 0, byTCP: false) == .notOurs)
    #expect(readReply(Array(repeating: 0, count: 12), to: db, id: 0, byTCP: true) == .notOurs)
  }

  @Test(arguments: 0..<20) func noBytesTrapTheReader(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...120, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      #expect(readReply(bytes, to: db, id: 0, byTCP: false) == .notOurs)
    }
  }

  /// Random records behind a header and question that are right, so that they are read.
  @Test(arguments: 0..<20) func noRecordsTrapTheReader(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<1000 {
      let question = random.next() % 2 == 0 ? db : db6
      var writer = DNSWriter(to: question)
      writer.counts = [1] + (0..<3).map { _ in UInt16.random(in: 0...3, using: &random) }
      let alphabet = "\0\0\0\u{1}\u{5}\u{6}\u{1c}\u{29}\u{4}\u{10}\u{2}db\u{7}example"
      var records = random.bytes(from: alphabet, count: 0...200)
      for index in records.indices where random.next() % 8 == 0 {
        records[index] = index % 2 == 0 ? 0xc0 : 12
      }
      let byTCP = random.next() % 2 == 0
      expectSound(
        readReply(writer.bytes + records, to: question, id: writer.id, byTCP: byTCP), byTCP: byTCP)
    }
  }

  /// Right messages with a few bytes changed, left out or repeated.
  @Test(arguments: 0..<20) func noChangeTrapsTheReader(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var believed = 0
    for _ in 0..<2000 {
      var (writer, question) = messages.randomElement(using: &random)!
      writer.compresses = random.next() % 2 == 0
      var bytes = writer.bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let index = Int.random(in: 2..<bytes.count, using: &random)
        switch random.next() % 4 {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &random)
        case 2: bytes.remove(at: index)
        default: bytes.insert(bytes[index / 2], at: index)
        }
      }
      let byTCP = random.next() % 2 == 0
      let reply = readReply(bytes, to: question, id: writer.id, byTCP: byTCP)
      expectSound(reply, byTCP: byTCP)
      if case .addresses = reply { believed += 1 }
    }
    // The changes are small enough that many messages are still read to their end.
    #expect(believed > 20)
  }
}
