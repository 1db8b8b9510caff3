// What right answers mean. Messages are written by DNSWriter.swift.
import Testing

@testable import Core

private let db = DNSQuestion(name: [UInt8]("db.example"), family: .ipv4)
private let db6 = DNSQuestion(name: [UInt8]("db.example"), family: .ipv6)

/// What `message` says to `question`, where nothing is wrong with its header.
func reply(
  _ message: DNSWriter, to question: DNSQuestion, byTCP: Bool = false
) -> DNSReply {
  readReply(message.bytes, to: question, id: message.id, byTCP: byTCP)
}

struct DNSReplyTests {
  @Test(arguments: [false, true], [false, true])
  func addressesComeAsTheyStand(compresses: Bool, byTCP: Bool) {
    var message = DNSWriter(
      to: db, answers: [.a("db.example", 0x0a00_0002), .a("db.example", 0x0a00_0001)],
      additionals: [.opt()])
    message.compresses = compresses
    let addresses = [ipv4(0x0a00_0002), ipv4(0x0a00_0001)]
    #expect(reply(message, to: db, byTCP: byTCP) == .addresses(addresses, ttl: 60))
  }

  @Test func addressesOfIPv6ComeAsTheyStand() {
    let message = DNSWriter(
      to: db6, answers: [.aaaa("db.example", 7, ttl: 5), .aaaa("db.example", 3, ttl: 9)])
    #expect(reply(message, to: db6) == .addresses([ipv6(7), ipv6(3)], ttl: 5))
  }

  @Test func anAddressThatComesTwiceIsOne() {
    let message = DNSWriter(
      to: db,
      answers: [1, 2, 1, 1].map { .a("db.example", 0x0a00_0000 + $0, ttl: 100 - $0) })
    #expect(reply(message, to: db) == .addresses([ipv4(0x0a00_0001), ipv4(0x0a00_0002)], ttl: 98))
  }

  @Test func answersMayDifferInCase() {
    var message = DNSWriter(to: db, answers: [.a("Db.eXAMPLE", 0x0a00_0001)])
    message.questions[0].name = "DB.exAmple"
    #expect(reply(message, to: db) == .addresses([ipv4(0x0a00_0001)], ttl: 60))
  }

  @Test func theLongestNameIsRead() {
    let question = DNSQuestion(name: longestName, family: .ipv4)
    let name = DNSWriter.Name.text(longestName)
    let message = DNSWriter(
      to: question, answers: [.cname(name, "db.example"), .a("db.example", 0x0a00_0001)])
    #expect(reply(message, to: question) == .addresses([ipv4(0x0a00_0001)], ttl: 60))
  }

  @Test func noMoreThan32AddressesAreTaken() {
    let message = DNSWriter(
      to: db, answers: (1...60).map { .a("db.example", 0x0a00_0000 + $0, ttl: 100 - $0) })
    // The least time to live is that of one that was not taken.
    #expect(
      reply(message, to: db) == .addresses((1...32).map { ipv4(0x0a00_0000 + $0) }, ttl: 40))
  }

  @Test(arguments: [2000, 4000]) func aMessageOf65535BytesIsRead(others: Int) {
    let other = DNSWriter.Record.a("other.example", 0x0b00_0001)
    var message = DNSWriter(
      to: db,
      answers: [.a("db.example", 0x0a00_0001)] + Array(repeating: other, count: others))
    let rest = 0xffff - message.bytes.count - 11
    message.additionals = [
      .init(owner: .wire([0]), type: 16, data: [.bytes(Array(repeating: 1, count: rest))])
    ]
    #expect(message.bytes.count == 0xffff)
    #expect(reply(message, to: db, byTCP: true) == .addresses([ipv4(0x0a00_0001)], ttl: 60))
  }

  // MARK: Times to live

  @Test(
    arguments: [
      (0, 0), (1, 1), (5, 5), (0x7fff_ffff, 0x7fff_ffff), (0x8000_0000, 0), (0xffff_ffff, 0),
    ] as [(UInt32, UInt32)])
  func aTimeToLiveWithTheHighestBitIsZero(sent: UInt32, taken: UInt32) {
    let message = DNSWriter(to: db, answers: [.a("db.example", 0x0a00_0001, ttl: sent)])
    #expect(reply(message, to: db) == .addresses([ipv4(0x0a00_0001)], ttl: taken))
    let alias = DNSWriter(
      to: db,
      answers: [.cname("db.example", "a", ttl: sent), .a("a", 0x0a00_0001, ttl: 0x7fff_ffff)])
    #expect(reply(alias, to: db) == .addresses([ipv4(0x0a00_0001)], ttl: taken))
  }

  @Test(arguments: [[5, 60, 300], [60, 5, 300], [300, 60, 5]] as [[UInt32]])
  func theTimeToLiveIsTheLeastOfTheChain(ttls: [UInt32]) {
    let message = DNSWriter(
      to: db,
      answers: [
        .cname("db.example", "one.example", ttl: ttls[0]),
        .cname("one.example", "two.example", ttl: ttls[1]),
        .a("two.example", 0x0a00_0001, ttl: ttls[2]),
        // Of no concern to the chain.
        .a("other.example", 0x0a00_0009, ttl: 1), .cname("third.example", "db.example", ttl: 1),
      ])
    #expect(reply(message, to: db) == .addresses([ipv4(0x0a00_0001)], ttl: 5))
  }

  // MARK: Chains

  @Test(arguments: 0..<24) func aChainIsFollowedInWhateverOrderItComes(permutation: Int) {
    var records: [DNSWriter.Record] = [
      .cname("db.example", "one.example"), .cname("one.example", "two.example"),
      .a("two.example", 0x0a00_0001), .a("two.example", 0x0a00_0002),
    ]
    var ordered: [DNSWriter.Record] = []
    var rest = permutation
    for count in [4, 3, 2, 1] {
      ordered.append(records.remove(at: rest % count))
      rest /= count
    }
    let message = DNSWriter(to: db, answers: ordered)
    guard case .addresses(let addresses, ttl: 60) = reply(message, to: db) else {
      Issue.record("\(reply(message, to: db))")
      return
    }
    #expect(addresses.count == 2)
    #expect(addresses.contains(ipv4(0x0a00_0001)) && addresses.contains(ipv4(0x0a00_0002)))
  }

  /// A chain of `steps` aliases from `db.example` to an address.
  private func chain(_ steps: Int) -> DNSWriter {
    let names = (0...steps).map { $0 == 0 ? "db.example" : "n\($0).example" }
    let aliases = zip(names, names.dropFirst()).map { owner, target in
      DNSWriter.Record.cname(.text(owner), .text(target))
    }
    return DNSWriter(to: db, answers: aliases + [.a(.text(names.last!), 0x0a00_0001)])
  }

  @Test(arguments: 0...16) func aChainOfUpTo16StepsIsFollowed(steps: Int) {
    #expect(reply(chain(steps), to: db) == .addresses([ipv4(0x0a00_0001)], ttl: 60))
  }

  @Test(arguments: [17, 18, 200, 2000]) func aLongerChainIsNot(steps: Int) {
    #expect(reply(chain(steps), to: db, byTCP: true) == .fault(.malformed))
  }

  @Test(arguments: 1...5) func aChainThatLoopsEnds(length: Int) {
    let names = (0..<length).map { $0 == 0 ? "db.example" : "n\($0).example" }
    let aliases = names.indices.map { index in
      DNSWriter.Record.cname(.text(names[index]), .text(names[(index + 1) % length]))
    }
    let message = DNSWriter(to: db, answers: aliases + [.a("other.example", 0x0a00_0001)])
    #expect(reply(message, to: db) == .fault(.malformed))
  }

  @Test func anAddressBesideAnAliasWins() {
    // RFC 1034, section 3.6.2 forbids it; following it into a loop would be worse.
    let message = DNSWriter(
      to: db,
      answers: [.cname("db.example", "db.example"), .a("db.example", 0x0a00_0001)])
    #expect(reply(message, to: db) == .addresses([ipv4(0x0a00_0001)], ttl: 60))
  }

  // MARK: What does not exist

  @Test(arguments: [(900, 60, 60), (30, 60, 30), (900, 0x8000_0000, 0), (0xffff_ffff, 60, 0)])
  func theSOASaysForHowLong(ttl: UInt32, minimum: UInt32, taken: UInt32) {
    let soa = DNSWriter.Record.soa("example", ttl: ttl, minimum: minimum)
    let noData = DNSWriter(to: db, authorities: [soa])
    #expect(reply(noData, to: db) == .noAddress(ttl: taken))
    let noName = DNSWriter(to: db, code: 3, authorities: [soa])
    #expect(reply(noName, to: db) == .noName(ttl: taken))
  }

  @Test func withoutASOANobodySays() {
    #expect(reply(DNSWriter(to: db), to: db) == .noAddress(ttl: nil))
    #expect(reply(DNSWriter(to: db, code: 3), to: db) == .noName(ttl: nil))
  }

  @Test func aChainMayLeadToNothing() {
    let alias = DNSWriter.Record.cname("db.example", "gone.example")
    let soa = DNSWriter.Record.soa("example", minimum: 7)
    #expect(
      reply(DNSWriter(to: db, answers: [alias], authorities: [soa]), to: db) == .noAddress(ttl: 7))
    #expect(
      reply(DNSWriter(to: db, code: 3, answers: [alias], authorities: [soa]), to: db)
        == .noName(ttl: 7))
  }

  @Test func aSOAInAnotherSectionSaysNothing() {
    let soa = DNSWriter.Record.soa("example")
    #expect(reply(DNSWriter(to: db, answers: [soa]), to: db) == .noAddress(ttl: nil))
    #expect(reply(DNSWriter(to: db, additionals: [soa]), to: db) == .noAddress(ttl: nil))
  }

  // MARK: Servers that are of no use

  private static let codes: [(UInt16, ServerFault)] = [
    (1, .formatError), (2, .serverFailure), (4, .notImplemented), (5, .refused), (6, .code(6)),
    (15, .code(15)),
  ]

  @Test(arguments: codes) func aResponseCodeIsAFault(code: UInt16, fault: ServerFault) {
    var message = DNSWriter(to: db, code: code)
    #expect(reply(message, to: db) == .fault(fault))
    message.questions = []
    #expect(reply(message, to: db) == .fault(fault))
    // Addresses beside a fault are not believed.
    message.answers = [.a("db.example", 0x0a00_0001)]
    #expect(reply(message, to: db) == .fault(fault))
  }

  @Test(arguments: [(1, 0, 16), (1, 3, 19), (255, 15, 4095)] as [(UInt8, UInt16, UInt16)])
  func anOPTRecordExtendsTheCode(extended: UInt8, code: UInt16, taken: UInt16) {
    let message = DNSWriter(
      to: db, code: code, answers: [.a("db.example", 0x0a00_0001)],
      additionals: [.opt(extendedCode: extended)])
    #expect(reply(message, to: db) == .fault(.code(taken)))
  }

  @Test func aReferralIsNoAnswer() {
    var message = DNSWriter(
      to: db, authorities: [.ns("example", "ns.example")],
      additionals: [.a("ns.example", 0x0a00_0035)])
    message.flags &= ~DNSWriter.flagRecursive
    #expect(reply(message, to: db) == .fault(.notRecursive))
    message.authorities = []
    message.additionals = []
    #expect(reply(message, to: db) == .fault(.notRecursive))
  }

  @Test func anAuthorityNeedNotBeRecursive() {
    var message = DNSWriter(to: db)
    message.flags = message.flags & ~DNSWriter.flagRecursive | DNSWriter.flagAuthoritative
    #expect(reply(message, to: db) == .noAddress(ttl: nil))
    message.answers = [.a("db.example", 0x0a00_0001)]
    #expect(reply(message, to: db) == .addresses([ipv4(0x0a00_0001)], ttl: 60))
  }

  @Test func tooLongForADatagramIsAskedByTCP() {
    var message = DNSWriter(to: db, answers: [.a("db.example", 0x0a00_0001)])
    message.flags |= DNSWriter.flagTruncated
    #expect(reply(message, to: db) == .truncated)
    #expect(reply(message, to: db, byTCP: true) == .fault(.malformed))
    // Cut in the midst of a record, as some servers do.
    let cut = Array(message.bytes.dropLast(3))
    #expect(readReply(cut, to: db, id: message.id, byTCP: false) == .truncated)
  }
}
