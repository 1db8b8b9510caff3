// Answers that lie, and bytes that are no answers: none gives an address, none traps.
import Testing

@testable import Core

private let db = DNSQuestion(name: [UInt8]("db.example"), family: .ipv4)
private let db6 = DNSQuestion(name: [UInt8]("db.example"), family: .ipv6)
private let right = DNSWriter(to: db, answers: [.a("db.example", 0x0a00_0001)])
private let rightReply = DNSReply.addresses([ipv4(0x0a00_0001)], ttl: 60)
/// Where the first record begins after a question for `db.example`.
private let recordsStart = 12 + 12 + 4

/// Answers with `answer` beside what is right.
private func reply(with answer: DNSWriter.Record) -> DNSReply {
  var message = right
  message.answers.insert(answer, at: 0)
  return reply(message, to: db)
}

/// Labels of these lengths, without an end.
private func wire(labels: [Int]) -> [UInt8] {
  var wire: [UInt8] = []
  for length in labels { wire += [UInt8(length)] + Array(repeating: 0x61, count: length) }
  return wire
}

struct DNSForgeryTests {
  // MARK: Not ours

  @Test func anotherIDIsNotOurs() {
    for bit in 0..<16 {
      let id = right.id ^ 1 << UInt16(bit)
      #expect(readReply(right.bytes, to: db, id: id, byTCP: false) == .notOurs)
    }
    #expect(readReply(right.bytes, to: db, id: right.id, byTCP: false) == rightReply)
  }

  @Test(arguments: [0x0180, 0x8980, 0x9180, 0xa180, 0xf980] as [UInt16])
  func aQueryOrAnotherOpcodeIsNotOurs(flags: UInt16) {
    var message = right
    message.flags = flags
    #expect(reply(message, to: db) == .notOurs)
  }

  @Test(arguments: [
    "db.exampl", "db.example.com", "xdb.example", "example", "", "dbexample", "db-example",
  ])
  func aQuestionForAnotherNameIsNotOurs(name: String) {
    var message = right
    message.questions[0].name = .text(name)
    #expect(reply(message, to: db) == .notOurs)
    message.flags |= DNSWriter.flagTruncated
    #expect(reply(message, to: db) == .notOurs)
    message.flags |= 3
    #expect(reply(message, to: db) == .notOurs)
  }

  @Test(arguments: [(28, 1), (255, 1), (1, 3), (1, 255), (0, 0)] as [(UInt16, UInt16)])
  func aQuestionOfAnotherTypeOrClassIsNotOurs(type: UInt16, recordClass: UInt16) {
    var message = right
    message.questions[0].type = type
    message.questions[0].recordClass = recordClass
    #expect(reply(message, to: db) == .notOurs)
  }

  @Test func theNumberOfQuestionsIsOne() {
    var message = right
    message.questions += message.questions
    #expect(reply(message, to: db) == .notOurs)
    message.questions = []
    #expect(reply(message, to: db) == .notOurs)
    message.flags |= 3
    #expect(reply(message, to: db) == .notOurs)
  }

  @Test func ourOwnQuestionComingBackIsNotOurs() {
    let question = db.message(id: 7, edns: true)
    #expect(readReply(question, to: db, id: 7, byTCP: false) == .notOurs)
  }

  // MARK: Records that are of no concern

  @Test(arguments: ["other.example", "example", "x.db.example", "db.example.com", ""])
  func anAddressOfAnotherNameIsNotTaken(owner: String) {
    #expect(reply(with: .a(.text(owner), 0x0b00_0001)) == rightReply)
    let alone = DNSWriter(to: db, answers: [.a(.text(owner), 0x0b00_0001)])
    // Nor does it say that the name has none.
    #expect(reply(alone, to: db) == .fault(.malformed))
  }

  @Test(arguments: [3, 4, 254, 255] as [UInt16])
  func anotherClassIsNotTaken(recordClass: UInt16) {
    var address = DNSWriter.Record.a("db.example", 0x0b00_0001)
    address.recordClass = recordClass
    #expect(reply(with: address) == rightReply)
    var alias = DNSWriter.Record.cname("db.example", "other.example")
    alias.recordClass = recordClass
    #expect(reply(with: alias) == rightReply)
  }

  @Test(arguments: [0, 2, 12, 15, 16, 28, 33, 39, 46, 65, 255, 65535] as [UInt16])
  func anotherTypeIsNotTaken(type: UInt16) {
    var record = DNSWriter.Record.a("db.example", 0x0b00_0001)
    record.type = type
    #expect(reply(with: record) == rightReply)
  }

  @Test func anotherFamilyIsNotTaken() {
    #expect(reply(with: .aaaa("db.example", 1)) == rightReply)
    var message = DNSWriter(to: db6, answers: [.a("db.example", 0x0a00_0001)])
    #expect(reply(message, to: db6) == .noAddress(ttl: nil))
    message.answers.append(.aaaa("db.example", 1))
    #expect(reply(message, to: db6) == .addresses([ipv6(1)], ttl: 60))
  }

  @Test func anAddressInAnotherSectionIsNotTaken() {
    let address = DNSWriter.Record.a("db.example", 0x0b00_0001)
    #expect(reply(DNSWriter(to: db, authorities: [address]), to: db) == .noAddress(ttl: nil))
    #expect(reply(DNSWriter(to: db, additionals: [address]), to: db) == .noAddress(ttl: nil))
  }

  @Test(arguments: [0, 0xe000_0001, 0xefff_ffff, 0xffff_ffff] as [UInt32])
  func anAddressThatIsNoHostIsNotTaken(bits: UInt32) {
    #expect(reply(with: .a("db.example", bits)) == rightReply)
    let alone = DNSWriter(to: db, answers: [.a("db.example", bits)])
    #expect(reply(alone, to: db) == .noAddress(ttl: nil))
  }

  @Test(arguments: [
    IPAddress(high: 0, low: 0), IPAddress(high: 0xff02_0000_0000_0000, low: 1),
  ])
  func anIPv6AddressThatIsNoHostIsNotTaken(address: IPAddress) {
    let alone = DNSWriter(to: db6, answers: [.address("db.example", address)])
    #expect(reply(alone, to: db6) == .noAddress(ttl: nil))
  }

  @Test(arguments: [ipv4(0), ipv4(0xe000_0001), ipv4(0xffff_ffff)])
  func nothingHidesInAMappedAddress(address: IPAddress) {
    var record = DNSWriter.Record.aaaa("db.example", 0)
    let low = (0..<8).map { UInt8(truncatingIfNeeded: address.low >> UInt64(56 - 8 * $0)) }
    record.data = [.bytes(Array(repeating: 0, count: 8) + low)]
    #expect(reply(DNSWriter(to: db6, answers: [record]), to: db6) == .noAddress(ttl: nil))
  }

  // MARK: Messages that cannot be read

  @Test(arguments: [0, 1, 3, 5, 16, 65535] as [UInt16])
  func anAddressOfAnotherLengthIsMalformed(length: UInt16) {
    var record = DNSWriter.Record.a("db.example", 0x0b00_0001)
    record.length = length
    #expect(reply(with: record) == .fault(.malformed))
    record.length = nil
    record.data = [.bytes(Array(repeating: 1, count: Int(min(length, 64))))]
    #expect(reply(with: record) == .fault(.malformed))
  }

  @Test(arguments: [0, 4, 15, 17] as [UInt16])
  func anIPv6AddressOfAnotherLengthIsMalformed(length: UInt16) {
    var record = DNSWriter.Record.aaaa("db.example", 1)
    record.length = length
    #expect(reply(DNSWriter(to: db6, answers: [record]), to: db6) == .fault(.malformed))
    record.length = nil
    record.data = [.bytes(Array(repeating: 1, count: Int(length)))]
    #expect(reply(DNSWriter(to: db6, answers: [record]), to: db6) == .fault(.malformed))
  }

  @Test func dataThatGoesOnBeyondItsRecordIsMalformed() {
    var alias = DNSWriter.Record.cname("db.example", "other.example")
    alias.length = 1
    #expect(reply(with: alias) == .fault(.malformed))
    var soa = DNSWriter.Record.soa("example")
    soa.length = 20
    let noData = DNSWriter(to: db, authorities: [soa])
    #expect(reply(noData, to: db) == .fault(.malformed))
  }

  @Test(arguments: [[1, 2, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1], [1, 0xffff, 0xffff, 0xffff]])
  func countsOfRecordsThatAreNotThereAreMalformed(counts: [UInt16]) {
    var message = right
    message.counts = counts
    #expect(reply(message, to: db) == .fault(.malformed))
  }

  @Test(arguments: [0x40, 0x41, 0x7f, 0x80, 0xbf] as [UInt8])
  func labelsOfAnUnknownKindAreMalformed(length: UInt8) {
    let name = DNSWriter.Name.wire([length] + Array(repeating: 0x61, count: 80) + [0])
    #expect(reply(with: .a(name, 0x0b00_0001)) == .fault(.malformed))
    var message = right
    message.questions[0].name = name
    #expect(reply(message, to: db) == .notOurs)
  }

  @Test(arguments: [(61, rightReply), (62, .fault(.malformed))])
  func aNameHas255BytesAtMost(lastLabel: Int, taken: DNSReply) {
    let name = wire(labels: [63, 63, 63, lastLabel]) + [0]
    #expect(name.count == 194 + lastLabel)
    #expect(reply(with: .a(.wire(name), 0x0b00_0001)) == taken)
  }

  @Test(arguments: [(50, rightReply), (51, .fault(.malformed))])
  func aNamePutTogetherByAPointerIsNoLonger(lastLabel: Int, taken: DNSReply) {
    // In front of the twelve bytes of `db.example`.
    let name = wire(labels: [63, 63, 63, lastLabel]) + [0xc0, 12]
    #expect(reply(with: .a(.wire(name), 0x0b00_0001)) == taken)
  }

  // MARK: Compression pointers

  /// Pointers to themselves, forward, in a circle, past the end, and cut off.
  @Test(
    arguments: [
      [0xc0, UInt8(recordsStart)], [0xc0, UInt8(recordsStart) + 1],
      [0xc0, UInt8(recordsStart) + 2],
      [0xc0, 0xff], [0xff, 0xff], [0xff], [1, 0x61, 0xc0, UInt8(recordsStart)],
      [1, 0x61, 0xc0, UInt8(recordsStart) + 2], [0, 0xc0],
    ] as [[UInt8]])
  func aPointerThatDoesNotLeadBackwardsIsMalformed(name: [UInt8]) {
    var message = right
    message.answers = [.a(.wire(name), 0x0b00_0001)]
    #expect(reply(message, to: db) == .fault(.malformed))
    message.answers = []
    message.questions[0].name = .wire(name)
    #expect(reply(message, to: db) == .notOurs)
  }

  @Test func twoPointersThatLeadToEachOtherAreMalformed() {
    // The first record's data are a pointer forward to the second's owner, which leads back to it.
    let first = DNSWriter.Record(
      owner: "db.example", type: 16, data: [.bytes([0xc0, UInt8(recordsStart) + 14])])
    let second = DNSWriter.Record.a(.pointer(to: recordsStart + 12), 0x0b00_0001)
    var message = DNSWriter(to: db, answers: [first, second])
    #expect(message.bytes[recordsStart + 12] == 0xc0)
    #expect(reply(message, to: db) == .fault(.malformed))
    message.answers[0].data = [.bytes([0xc0, 12])]
    #expect(reply(message, to: db) == .addresses([ipv4(0x0b00_0001)], ttl: 60))
  }

  @Test func aPointerIntoTheHeaderIsReadLikeAnyOther() {
    // Offset 2 holds 0x81: no kind of label. Offset 6 holds the zero of a count: the root.
    #expect(reply(with: .a(.pointer(to: 2), 0x0b00_0001)) == .fault(.malformed))
    #expect(reply(with: .a(.pointer(to: 6), 0x0b00_0001)) == rightReply)
  }

  /// A record whose data are `count` pointers, each to the one before, and the first to a root.
  private func row(_ count: Int) -> (record: DNSWriter.Record, last: Int) {
    let start = recordsStart + 12
    var row: [UInt8] = [0]
    var last = start
    for _ in 0..<count {
      let place = start + row.count
      row += [0xc0 | UInt8(last >> 8), UInt8(last & 0xff)]
      last = place
    }
    return (.init(owner: "db.example", type: 16, data: [.bytes(row)]), last)
  }

  @Test(arguments: [(1, true), (126, true), (127, false), (5000, false)])
  func aNameHas127PointersAtMost(count: Int, isRead: Bool) {
    let (record, last) = row(count)
    // An owner's own pointer comes on top.
    let name = DNSWriter.Name.pointer(to: last)
    let message = DNSWriter(
      to: db, answers: [record, .a("db.example", 0x0a00_0001), .a(name, 0x0b00_0001)])
    #expect(reply(message, to: db) == (isRead ? rightReply : .fault(.malformed)))
  }

  /// Without a bound, 24 million steps for one message.
  @Test func thousandsOfNamesOfThousandsOfPointersAreGivenUpOn() {
    let (record, last) = row(8000)
    let address = DNSWriter.Record.a(.pointer(to: last), 0x0b00_0001)
    let message = DNSWriter(to: db, answers: [record] + Array(repeating: address, count: 3000))
    #expect(message.bytes.count < 0xffff)
    #expect(reply(message, to: db, byTCP: true) == .fault(.malformed))
  }
}
