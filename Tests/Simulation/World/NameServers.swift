// Names, their addresses, and the servers that tell them: truly, falsely, late, twice or never.
import CLinux

final class NameWorld {
  private enum Mood {
    case healthy, silent, failing, refusing, lying, truncating, unreachable, plain
  }

  private let plan: Plan
  private var addresses: [String: [Address]] = [:]
  private var moods: [Mood] = [.healthy, .healthy, .healthy]
  private var ttl = 5
  /// Every address that a name ever had.
  private(set) var trueAddresses: Set<Address> = []
  private var lastLow: UInt32 = 0
  private(set) var lastChange: Time = 0
  private var questionTimes: [Time] = []

  static let evil4 = Address(ipv4: 0x0606_0606, port: 0)
  static let evil6 = Address(ipv6Low: 0x0bad, port: 0)

  init(_ plan: Plan) { self.plan = plan }

  func begin() {
    lastChange = sim.now
    ttl = plan.isFailover ? 1 : sim.chance.pick([0, 1, 2, 5, 60])
    for name in Plan.names { move(name) }
    if plan.asksMuch { moods = [.refusing, .refusing, .healthy] }
    for host in ["10.0.0.1", "127.0.0.1", "10.0.7.1", "10.0.7.2"] {
      var value: UInt32 = 0
      for part in host.split(separator: ".") { value = value << 8 | UInt32(part)! }
      trueAddresses.insert(Address(ipv4: value, port: 0))
    }
    trueAddresses.insert(Address(ipv6Low: 7, port: 0))
    var loop = Address()
    loop.low = 1
    trueAddresses.insert(loop)
    if plan.serversAreBad {
      for _ in 0..<sim.chance.number(1...5) { soon { [self] in changeServer() } }
      changeServer()
      soon { sim.kernel.files.set("/etc/resolv.conf", "nameserver 10.9.0.2\n# changed\n") }
    }
    if plan.isFailover || sim.chance.one(in: 3) {
      for _ in 0..<sim.chance.number(1...4) {
        soon { [self] in
          lastChange = sim.now
          sim.reach(.nameMoved)
          move(plan.isFailover ? Plan.names[0] : sim.chance.pick(Plan.names))
        }
      }
    }
  }

  private func soon(_ action: @escaping () -> Void) {
    sim.at(Schedule.start + .milliseconds(20 + sim.chance.scaled(0...9_000)), action)
  }

  private func move(_ name: String) {
    var list: [Address] = []
    for _ in 0..<sim.chance.number(1...3) {
      lastLow += 1
      let isIPv4 = !sim.chance.one(in: 3)
      list.append(
        isIPv4
          ? Address(ipv4: 0x0a01_0000 | lastLow, port: 0)
          : Address(ipv6Low: 0x1_0000 | UInt64(lastLow), port: 0))
    }
    addresses[name] = plan.asksMuch ? nil : sim.chance.one(in: 12) ? [] : list
    for address in list { trueAddresses.insert(address) }
  }

  private func changeServer() {
    let all: [Mood] = [
      .healthy, .silent, .failing, .refusing, .lying, .truncating, .unreachable, .plain,
    ]
    moods[sim.chance.number(0...2)] = sim.chance.pick(all)
  }

  /// Nobody is connected to where no name ever led.
  func judge(_ address: Address) {
    guard !trueAddresses.contains(address.withoutPort) else { return }
    sim.fail("connects to \(address.text), where no name leads")
  }

  // MARK: Questions

  /// At most 24 in any second, however much is asked for.
  func countQuestion() {
    questionTimes.append(sim.now)
    questionTimes.removeAll { $0 <= sim.now - .milliseconds(990) }
    if questionTimes.count == 12 { sim.reach(.questionBudget) }
    if questionTimes.count > 24 { sim.fail("\(questionTimes.count) questions in a second") }
  }

  func ask(
    _ message: [UInt8], _ server: Address, byTCP: Bool, _ reply: @escaping ([UInt8]) -> Void,
    _ fail: @escaping () -> Void
  ) {
    countQuestion()
    guard message.count > 16 else { return sim.fail("a malformed question") }
    let mood = moods[Int(server.low & 0xff) % moods.count]
    let delay = Time.microseconds(sim.chance.pick([500, 2_000, 20_000, 300_000]))
    let isLost = !byTCP && plan.serversAreBad && sim.chance.one(in: 5)
    func say(_ bytes: [UInt8], _ extra: Time = 0) {
      guard !isLost else { return }
      sim.after(delay + extra) { reply(bytes) }
      if !byTCP, plan.serversAreBad, sim.chance.one(in: 8) {
        sim.after(delay * 3) { reply(bytes) }
      }
    }
    switch mood {
    case .healthy: say(truth(message))
    case .silent: sim.reach(.silentServer)
    case .failing: say(code(2, message))
    case .refusing: say(code(5, message))
    case .unreachable: sim.after(delay, fail)
    case .lying:
      sim.reach(.lie)
      say(lie(message))
      say(truth(message), .milliseconds(20))
    case .truncating:
      if byTCP { say(truth(message)) } else { say(truncated(message)) }
    case .plain: say(message[11] > 0 ? code(1, message) : truth(message))
    }
  }

  // MARK: Answers

  private func question(_ message: [UInt8]) -> (name: String, type: UInt8, end: Int) {
    var labels: [String] = []
    var at = 12
    while message[at] != 0 {
      let length = Int(message[at])
      labels.append(String(decoding: message[at + 1...at + length], as: UTF8.self))
      at += 1 + length
    }
    return (labels.joined(separator: "."), message[at + 2], at + 5)
  }

  private func header(_ message: [UInt8], _ flags: [UInt8], answers: Int) -> [UInt8] {
    var reply = Array(message[..<question(message).end])
    (reply[2], reply[3]) = (flags[0], flags[1])
    reply[7] = UInt8(answers)
    reply[11] = 0
    return reply
  }

  private func code(_ code: UInt8, _ message: [UInt8]) -> [UInt8] {
    header(message, [0x81, 0x80 | code], answers: 0)
  }

  private func truncated(_ message: [UInt8]) -> [UInt8] {
    sim.reach(.truncated)
    return header(message, [0x83, 0x80], answers: 0)
  }

  private func truth(_ message: [UInt8]) -> [UInt8] {
    let asked = question(message)
    guard let all = addresses[asked.name] else { return code(3, message) }
    let list = all.filter { $0.isIPv4 == (asked.type == 1) }
    var reply = header(message, [0x81, 0x80], answers: list.count)
    for address in list { add(address, to: &reply) }
    return reply
  }

  private func add(_ address: Address, to reply: inout [UInt8]) {
    reply += [0xc0, 12, 0, address.isIPv4 ? 1 : 28, 0, 1, 0, 0, 0, UInt8(ttl)]
    let low = (0..<8).map { UInt8(truncatingIfNeeded: address.low >> UInt64(56 - 8 * $0)) }
    let high = (0..<8).map { UInt8(truncatingIfNeeded: address.high >> UInt64(56 - 8 * $0)) }
    let data = address.isIPv4 ? Array(low.suffix(4)) : high + low
    reply += [0, UInt8(data.count)] + data
  }

  /// By one who does not know the number, or answers another question.
  private func lie(_ message: [UInt8]) -> [UInt8] {
    let isIPv4 = question(message).type == 1
    var reply = header(message, [0x81, 0x80], answers: 1)
    add(isIPv4 ? Self.evil4 : Self.evil6, to: &reply)
    switch sim.chance.number(0...2) {
    case 0: reply[0] ^= 0x55
    case 1: reply[13] = UInt8(ascii: "x")
    case _: reply.removeLast(3)
    }
    return reply
  }

  // MARK: TCP

  /// A socket towards a name server becomes one whose bytes are bytes.
  func connect(_ number: Int32, _ server: Address) -> Int32 {
    let talk = Talk()
    talk.isConnecting = true
    sim.kernel.replace(number, talk)
    sim.reach(.questionByTCP)
    let mood = moods[Int(server.low & 0xff) % moods.count]
    guard mood != .silent else { return Code.inProgress }
    sim.after(.milliseconds(1)) {
      guard mood != .unreachable else { return talk.fail(Code.refused) }
      talk.isConnecting = false
      talk.changed()
    }
    talk.heard = { [self, weak talk] bytes in
      guard bytes.count > 2 else { return }
      ask(Array(bytes[2...]), server, byTCP: true) { reply in
        let framed = [UInt8(reply.count >> 8), UInt8(reply.count & 0xff)] + reply
        let cut = self.plan.serversAreBad && sim.chance.one(in: 6) ? framed.count / 2 : framed.count
        talk?.arrive(Array(framed[..<cut]))
        if cut < framed.count { talk?.arriveEnd() }
      } _: {
        talk?.fail(Code.reset)
      }
    }
    return Code.inProgress
  }
}

/// A UDP socket towards a name server.
final class Datagrams: Object {
  private var server = Address()
  private var inbox: [[UInt8]] = []
  private var error: Int32 = 0
  private var isClosed = false

  override func readiness() -> UInt32 {
    let bits = inbox.isEmpty ? Ready.output : Ready.output | Ready.input
    return error != 0 ? bits | Ready.error : bits
  }

  func connect(to address: Address) -> Int32 {
    server = address
    return 0
  }

  override func send(_ bytes: UnsafeRawPointer, _ count: Int, isHeldBack: Bool) -> Int {
    sim.progress()
    let message = Array(UnsafeRawBufferPointer(start: bytes, count: count))
    sim.world.names.ask(message, server, byTCP: false) { [weak self] reply in
      guard let self, !isClosed else { return }
      inbox.append(reply)
      changed()
    } _: { [weak self] in
      guard let self, !isClosed else { return }
      error = Code.refused
      changed()
    }
    return count
  }

  override func receive(_ bytes: UnsafeMutableRawPointer, _ limit: Int) -> Int {
    if error != 0 {
      defer { error = 0 }
      return Int(error)
    }
    guard let first = inbox.first else { return Int(Code.wouldBlock) }
    inbox.removeFirst()
    sim.progress()
    let count = min(limit, first.count)
    first.withUnsafeBytes {
      if count > 0 { bytes.copyMemory(from: $0.baseAddress!, byteCount: count) }
    }
    return count
  }

  override func close() { isClosed = true }
}
