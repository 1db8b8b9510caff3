// Plays the name servers to one lookup, line by line: what it asks comes out as text, what a server
// says goes in, and time passes when the test says so.
@testable import Core

struct LookupScript {
  var now = Instant(nanoseconds: 1_000_000_000_000)
  let start: Instant
  var servers: NameServers
  var budget = QueryBudget()
  var lookup: Lookup
  /// The ID of what was last sent in each slot.
  private var sent: [Int: UInt16] = [:]
  private var lastID: UInt16 = 0x0fff

  init(
    servers count: Int = 1, _ options: String = "", name: String = "db.example",
    isAbsolute: Bool = false, limit: Nanoseconds = .seconds(10)
  ) {
    self.init(
      NameServers(resolvConf(count, options)), name: name, isAbsolute: isAbsolute, limit: limit)
  }

  /// With servers that something is known of.
  init(
    _ known: NameServers, name: String = "db.example", isAbsolute: Bool = false,
    limit: Nanoseconds = .seconds(10)
  ) {
    servers = known
    start = now
    lookup = Lookup(
      candidates: servers.conf.candidates(for: [UInt8](name.utf8), isAbsolute: isAbsolute),
      servers: &servers, limit: limit, now: now)
  }

  /// Milliseconds since the lookup began.
  var elapsed: Int64 { (now - start).count / 1_000_000 }

  mutating func pass(_ milliseconds: Int64) { now = now + .milliseconds(milliseconds) }

  // MARK: What it does

  private mutating func next() -> Lookup.Step {
    lookup.next(now: now, servers: &servers, budget: &budget) {
      lastID += 1
      return lastID
    }
  }

  /// What it asks now: "A 1" asks the first server by UDP for A; "tcp", "again" (on the socket that
  /// is there) and "plain" (without an OPT record) follow where they hold. Then when it wants to be
  /// called again, in milliseconds since its beginning, or "done".
  mutating func steps() -> [String] {
    var steps: [String] = []
    while true {
      switch next() {
      case .ask(let slot, let transport, let again):
        sent[slot] = messageID(lookup.message(of: slot), transport)
        steps.append(text(slot, transport, again, in: lookup))
      case .wait(let until): return steps + ["wait \((until - start).count / 1_000_000)"]
      case .done: return steps + ["done"]
      }
    }
  }

  /// What it asks from now on, and when, if nobody ever answers.
  mutating func stepsUntilDone() -> [String] {
    var all: [String] = []
    for _ in 0..<1000 {
      var steps = steps()
      let last = steps.removeLast()
      all += steps.map { "\($0) @\(elapsed)" }
      guard last != "done" else { return all + ["done @\(elapsed)"] }
      pass(Int64(last.dropFirst("wait ".count))! - elapsed)
    }
    return all + ["no end"]
  }

  // MARK: What servers do

  /// The message that answers what was last sent to this server.
  func writer(
    _ family: Family, from server: Int, code: UInt16 = 0, _ answers: [DNSWriter.Record] = []
  ) -> DNSWriter {
    let name = lookup.name
    return DNSWriter(
      to: DNSQuestion(name: name, family: family), id: id(family, server), code: code,
      answers: answers)
  }

  /// The ID of what was last sent to this server.
  func id(_ family: Family, _ server: Int) -> UInt16 { sent[slot(family, server)]! }

  @discardableResult mutating func receive(
    _ family: Family, from server: Int, _ message: DNSWriter
  ) -> DNSReply {
    lookup.receive(message.bytes, slot: slot(family, server), now: now, servers: &servers)
  }

  /// An answer to what was last sent to this server: addresses, or none at all.
  @discardableResult mutating func answer(
    _ family: Family, from server: Int = 1, ttl: UInt32 = 60, _ last: UInt8...
  ) -> DNSReply {
    let name = DNSWriter.Name.text(lookup.name)
    let records = last.map { DNSWriter.Record.address(name, address(family, $0), ttl: ttl) }
    return receive(family, from: server, writer(family, from: server, records))
  }

  @discardableResult mutating func answer(
    _ family: Family, from server: Int = 1, code: UInt16
  ) -> DNSReply {
    receive(family, from: server, writer(family, from: server, code: code))
  }

  @discardableResult mutating func truncate(_ family: Family, from server: Int = 1) -> DNSReply {
    var message = writer(family, from: server)
    message.flags |= DNSWriter.flagTruncated
    return receive(family, from: server, message)
  }

  mutating func fail(_ family: Family, from server: Int = 1, _ word: ServerWord) {
    lookup.fail(slot(family, server), word, now: now, servers: &servers)
  }

  // MARK: What came of it

  subscript(family: Family) -> Lookup.Finding? { lookup.finding(of: family) }

  var words: [String] {
    lookup.words.map { "\(number(of: $0.server)) \($0.word)" }
  }
}

/// FORMERR and the like, as they are numbered (RFC 1035, section 4.1.1).
enum Code {
  static let formatError: UInt16 = 1
  static let serverFailure: UInt16 = 2
  static let noName: UInt16 = 3
  static let notImplemented: UInt16 = 4
  static let refused: UInt16 = 5
}

/// 192.0.2.`last` or 2001:db8::`last`.
func address(_ family: Family, _ last: UInt8) -> IPAddress {
  switch family {
  case .ipv4: ipv4(0xc000_0200 | UInt32(last))
  case .ipv6: ipv6(UInt64(last))
  }
}

/// Servers 10.0.0.1 and following, and what else the file says.
func resolvConf(_ count: Int, _ lines: String = "") -> ResolvConf {
  let servers = (0..<count).map { "nameserver 10.0.0.\($0 + 1)\n" }.joined()
  return ResolvConf([UInt8]((servers + lines).utf8), port: 53)
}

/// The last octet of a server's address.
func number(of server: Endpoint) -> Int { Int(server.address.low & 0xff) }

func slot(_ family: Family, _ server: Int) -> Int {
  family.rawValue * ResolvConf.maxServers + server - 1
}

func text(_ slot: Int, _ transport: Lookup.Transport, _ again: Bool, in lookup: Lookup) -> String {
  let message = lookup.message(of: slot)
  let plain = DNSQuestion(name: lookup.name, family: lookup.family(of: slot))
    .message(id: 0, edns: false)
  let hasOption = message.count - (transport == .stream ? 2 : 0) > plain.count
  return "\(lookup.family(of: slot).recordName) \(number(of: lookup.server(of: slot)))"
    + (transport == .stream ? " tcp" : "") + (again ? " again" : "")
    + (hasOption ? "" : " plain")
}

func messageID(_ message: [UInt8], _ transport: Lookup.Transport) -> UInt16 {
  // By TCP, two octets of length come first.
  let start = transport == .stream ? 2 : 0
  return UInt16(message[start]) << 8 | UInt16(message[start + 1])
}
