// Plays clients, name servers and /etc/hosts to the record of one name, line by line. Time passes
// when the test says so, and the record is called when it asked for that.
@testable import Core

struct RecordScript {
  var now = Instant(nanoseconds: 1_000_000_000_000)
  let start: Instant
  var servers: NameServers
  var budget = QueryBudget()
  var record: NameRecord
  var hosts = HostsFile([])
  /// Whether anybody has used the answer since it was published.
  var isUsed = false
  private(set) var published: [NameAnswer] = []
  private(set) var retirements = 0
  private var told: [NameEvent] = []
  private var lastID: UInt16 = 0x0fff
  private var wake: Instant?

  init(
    servers count: Int = 1, _ options: String = "", name: String = "db.example",
    staleLimit: Nanoseconds = .seconds(600), connectTimeout: Nanoseconds = .seconds(10)
  ) {
    servers = NameServers(resolvConf(count, options))
    start = now
    record = NameRecord(
      name: [UInt8](name.utf8), isAbsolute: false,
      rules: NameRules(connectTimeout: connectTimeout, staleLimit: staleLimit))
  }

  /// Milliseconds since the script began.
  var elapsed: Int64 { milliseconds(now) }

  func milliseconds(_ time: Instant) -> Int64 { (time - start).count / 1_000_000 }

  // MARK: What it does

  /// All it does now: "begin", what it asks (as in LookupScript), "publish", "retire", "hang up",
  /// and at last when it wants to be called again, in milliseconds since the beginning.
  @discardableResult mutating func run() -> [String] {
    var steps: [String] = []
    while steps.count < 100 {
      switch next() {
      case .begin:
        steps.append("begin")
        record.begin(hosts: hosts, servers: &servers, now: now)
      case .ask(let slot, let transport, let again):
        steps.append(text(slot, transport, again, in: record.lookup!))
      case .hangUp: steps.append("hang up")
      case .publish:
        steps.append("publish")
        isUsed = false
        published.append(record.answer)
      case .retire:
        steps.append("retire")
        retirements += 1
      case .tell(let event): told.append(event)
      case .wait(let until):
        wake = until
        return steps + ["wait " + (until.map { "\(milliseconds($0))" } ?? "for a demand")]
      }
    }
    return steps + ["no end"]
  }

  private mutating func next() -> NameRecord.Step {
    var (used, id) = (isUsed, lastID)
    defer { (isUsed, lastID) = (used, id) }
    return record.next(
      now: now,
      isUsed: {
        defer { used = false }
        return used
      }, servers: &servers, budget: &budget,
      random: {
        id += 1
        return id
      })
  }

  /// Lets time pass, and calls the record whenever it asked for that. What it did, with the time of
  /// each step in milliseconds since the beginning.
  @discardableResult mutating func pass(_ milliseconds: Int64) -> [String] {
    let end = now + .milliseconds(milliseconds)
    var steps: [String] = []
    while let due = wake, due <= end {
      now = max(now, due)
      steps += run().dropLast().map { "\($0) @\(elapsed)" }
    }
    now = end
    return steps
  }

  /// What was told since this was last called.
  mutating func takeTold() -> [NameEvent] {
    defer { told = [] }
    return told
  }

  // MARK: What happens to it

  /// A client that finds no usable answer, or with `since` one that wants a newer one.
  @discardableResult mutating func demand(since: Instant? = nil) -> [String] {
    record.demand(since: since ?? now - .seconds(1), now: now)
    return run()
  }

  /// Both families' answers of the first server at once: these IPv4 addresses, and no IPv6.
  @discardableResult mutating func answer(ttl: UInt32 = 60, _ last: UInt8...) -> [String] {
    tell(.ipv6, ttl: ttl, [])
    tell(.ipv4, ttl: ttl, last)
    return run()
  }

  @discardableResult mutating func answer(
    _ family: Family, ttl: UInt32 = 60, _ last: UInt8...
  ) -> [String] {
    tell(family, ttl: ttl, last)
    return run()
  }

  private mutating func tell(_ family: Family, ttl: UInt32, _ last: [UInt8]) {
    let name = DNSWriter.Name.text(record.lookup!.name)
    receive(family) { writer in
      writer.answers = last.map { .address(name, address(family, $0), ttl: ttl) }
    }
  }

  /// All servers say this to both families' questions; with `negativeTTL`, an SOA record too.
  @discardableResult mutating func say(_ code: UInt16, negativeTTL: UInt32? = nil) -> [String] {
    var steps: [String] = []
    for server in 1...servers.count {
      for family in Family.allCases {
        receive(family, from: server) { writer in
          writer.flags |= code
          writer.authorities = negativeTTL.map { [.soa("example", minimum: $0)] } ?? []
        }
      }
      steps += run()
    }
    return steps
  }

  @discardableResult mutating func receive(
    _ family: Family, from server: Int = 1, bend: (inout DNSWriter) -> Void = { _ in }
  ) -> DNSReply {
    guard let lookup = record.lookup else { return .notOurs }
    let place = slot(family, server)
    let transport = lookup.exchanges[place].transport
    var writer = DNSWriter(
      to: DNSQuestion(name: lookup.name, family: family),
      id: messageID(lookup.message(of: place), transport))
    bend(&writer)
    return record.receive(writer.bytes, slot: place, now: now, servers: &servers)
  }

  mutating func list(_ text: String) { hosts = HostsFile([UInt8](text.utf8)) }
}

extension RecordScript {
  /// A record that has had an answer: 192.0.2.1 for a time to live in seconds.
  static func answered(
    ttl: UInt32, staleLimit: Nanoseconds = .seconds(600), servers: Int = 1
  ) -> RecordScript {
    var script = RecordScript(servers: servers, staleLimit: staleLimit)
    script.demand()
    script.answer(ttl: ttl, 1)
    _ = script.takeTold()
    return script
  }

  /// IPv4 addresses of the current answer, by their last octet.
  var addresses: [UInt8] { record.answer.addresses.map { UInt8($0.low & 0xff) } }

  /// What the servers had said when a failure was last told.
  var words: [String] { record.words.map { "\(number(of: $0.server)) \($0.word)" } }
}
