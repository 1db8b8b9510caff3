// What a name's record does once its name servers, or the name itself, have failed.
import Testing

@testable import Core

@Suite struct NameAfterFailureTests {
  private var servers = NameServers(Self.conf("192.0.2.1"))
  private var budget = QueryBudget()
  private var record: NameRecord
  private var now = Instant(nanoseconds: 1_000_000_000_000)
  private var isUsed = true

  init() { record = Self.record(staleLimit: .zero) }

  private static func conf(_ servers: String...) -> ResolvConf {
    let lines = servers.map { "nameserver \($0)\n" }.joined()
    return ResolvConf([UInt8]((lines + "options no-aaaa\n").utf8), port: 53)
  }

  private static func record(staleLimit: Nanoseconds) -> NameRecord {
    let rules = NameRules(connectTimeout: .seconds(5), staleLimit: staleLimit)
    return NameRecord(name: [UInt8]("db.example".utf8), isAbsolute: true, rules: rules)
  }

  /// Whoever finds an answer too old asks for one, and is answered by "there is one" for as long as
  /// it counts as fresh: the two must never ask each other in a circle.
  @Test mutating func anAnswerIsNeverFreshAndUnusable() {
    resolve(to: 1, ttl: 1)
    now = now + .milliseconds(850)
    resolve(rejecting: true)
    #expect(record.answer.isStale)
    #expect(record.answer.freshUntil <= record.answer.usableUntil)
    now = record.answer.usableUntil
    record.demand(since: now - .seconds(1), now: now)
    // Not sooner than names are looked up at all, but by itself.
    #expect(record.isLookingUp)
    if case .wait(let until?) = step() { now = until }
    #expect(step() == .begin)
  }

  /// Connections that a change is to end are reason enough to look again, whoever is to blame.
  @Test mutating func aNameThatWasGoneIsLookedUpAgainWhileItIsUsed() {
    resolve(to: 1, ttl: 1)
    now = now + .milliseconds(850)
    resolve(to: nil, ttl: 1)
    #expect(record.answer.failure == .nameNotFound)
    guard case .wait(let until?) = step() else { return #expect(Bool(false), "no time set") }
    #expect(until > now + .seconds(1), "a name that fails is asked for too often")
    #expect(until <= now + .seconds(5))
    now = until
    #expect(step() == .begin)
  }

  @Test mutating func aNameThatWasGoneIsLeftAloneWhileNobodyUsesIt() {
    resolve(to: nil, ttl: 1)
    isUsed = false
    guard case .wait(let until?) = step() else { return }
    now = until
    #expect(step() == .wait(until: nil))
  }

  // MARK: The stage

  private mutating func step() -> NameRecord.Step {
    let used = isUsed
    while true {
      let step = record.next(
        now: now, isUsed: { used }, servers: &servers, budget: &budget, random: { 7 })
      switch step {
      case .begin, .ask, .wait: return step
      case .hangUp, .publish, .retire, .tell: break
      }
    }
  }

  /// One lookup, with the answer that comes to it.
  private mutating func resolve(to host: UInt8? = nil, ttl: UInt8 = 1, rejecting: Bool = false) {
    record.demand(since: now, now: now)
    #expect(step() == .begin)
    record.begin(hosts: HostsFile([]), servers: &servers, now: now)
    guard case .ask(let slot, _, _) = step() else { return #expect(Bool(false), "not asked") }
    answer(slot, code: rejecting ? 5 : host == nil ? 3 : 0, to: host, ttl: ttl)
    _ = step()
  }

  private mutating func answer(_ slot: Int, code: UInt8 = 0, to host: UInt8? = nil, ttl: UInt8 = 1)
  {
    var message = record.lookup!.message(of: slot)
    message[2] = 0x81
    message[3] = 0x80 | code
    if message[11] == 1 { message.removeLast(11) }  // the OPT record
    message[11] = 0
    if let host {
      message[7] = 1
      message += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 192, 0, 2, host]
    }
    _ = record.receive(message, slot: slot, now: now, servers: &servers)
  }
}
