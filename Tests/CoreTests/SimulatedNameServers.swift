// Name servers as a few numbers: what is true of the names, and the many ways in which that does
// not arrive. Each message says whether it is the truth, so that what is believed can be judged.
@testable import Core

/// What a name server did with a question that it answered truly.
struct Truth {
  var family: Family
  var addresses: [IPAddress]
  var ttl: UInt32
  /// When the question was sent.
  var asked: Instant
}

enum Arrival {
  /// Without `truth`, it says nothing that is true of the name's addresses.
  case message([UInt8], truth: Truth?)
  case failure(ServerWord)
}

struct SimulatedServer {
  enum Mood: CaseIterable {
    case healthy, silent, failing, refusing, lying, truncating, unreachable
    /// Cannot read OPT records.
    case plain
  }
  var mood = Mood.healthy
  /// Of a hundred datagrams.
  var lost = 0
  /// One way and back, in milliseconds.
  var delay: ClosedRange<Int64> = 1...20
}

struct SimulatedName {
  let name: [UInt8]
  let ttl: UInt32
  var exists = true
  var ipv6: [IPAddress] = []
  var ipv4: [IPAddress] = []

  func addresses(_ family: Family) -> [IPAddress] { family == .ipv4 ? ipv4 : ipv6 }
}

/// What one server is asked, as the driver sees it.
struct SimulatedQuestion {
  var name: [UInt8]
  var family: Family
  var transport: Lookup.Transport
  /// Without TCP's two octets of length.
  var message: [UInt8]
  var now: Instant
}

struct SimulatedNameServers {
  /// No name ever has these.
  static let evil4 = IPAddress(ipv4: 0x0606_0606)
  static let evil6 = IPAddress(high: 0x2001_0db8_0bad_0000, low: 6)

  var names: [SimulatedName] = []
  var servers = (0..<ResolvConf.maxServers).map { _ in SimulatedServer() }
  /// Writes another owner's addresses as if they were the name's own: what a lookup would see that
  /// did not look at owners.
  var hidesOwners = false
  private var random: SeededGenerator
  private var lastAddress: UInt32 = 0

  init(names count: Int, random: SeededGenerator) {
    self.random = random
    for index in 0..<count {
      let ttl: UInt32 = [0, 1, 1, 2, 5, 5, 30, 0x8000_0000].randomElement(using: &self.random)!
      names.append(SimulatedName(name: [UInt8]("db\(index).example".utf8), ttl: ttl))
      move(index)
    }
  }

  // MARK: What changes

  /// To addresses that nobody had before.
  mutating func move(_ index: Int) {
    names[index].exists = true
    names[index].ipv4 = (0..<Int.random(in: 0...2, using: &random)).map { _ in
      lastAddress += 1
      return IPAddress(ipv4: 0x0a00_0000 | UInt32(index) << 20 | lastAddress)
    }
    let least = names[index].ipv4.isEmpty ? 1 : 0
    names[index].ipv6 = (0..<Int.random(in: least...2, using: &random)).map { _ in
      lastAddress += 1
      return IPAddress(high: 0x2001_0db8 << 32, low: UInt64(index) << 32 | UInt64(lastAddress))
    }
  }

  mutating func changeAName() {
    let index = Int.random(in: 0..<names.count, using: &random)
    move(index)
    if chance(4) { names[index].exists = false }
  }

  mutating func changeAServer() {
    let index = Int.random(in: 0..<servers.count, using: &random)
    let moods = SimulatedServer.Mood.allCases
    servers[index].mood = chance(4) ? .healthy : moods.randomElement(using: &random)!
    servers[index].lost = [0, 0, 10, 50].randomElement(using: &random)!
    servers[index].delay = [1...20, 1...20, 1...120, 300...900].randomElement(using: &random)!
  }

  mutating func heal() {
    for index in servers.indices { servers[index] = SimulatedServer() }
    for index in names.indices where !names[index].exists { move(index) }
  }

  // MARK: Answers

  /// What comes back, and after how many milliseconds.
  mutating func answer(_ question: SimulatedQuestion, by index: Int) -> [(Int64, Arrival)] {
    let server = servers[index]
    var arrivals: [(Int64, Arrival)] = []
    // Somebody else, who sees nothing of the question.
    if server.mood != .healthy && chance(4) { arrivals.append((delay(1...5), forgery(question))) }
    for arrival in say(question, server) {
      if question.transport == .datagram {
        if Int.random(in: 0..<100, using: &random) < server.lost { continue }
        if server.lost > 0 && chance(8) { arrivals.append((arrival.0 + delay(1...900), arrival.1)) }
      }
      arrivals.append(arrival)
    }
    return arrivals
  }

  private mutating func say(
    _ question: SimulatedQuestion, _ server: SimulatedServer
  ) -> [(Int64, Arrival)] {
    let after = delay(server.delay)
    switch server.mood {
    case .healthy: return [(after, truth(question))]
    case .silent: return []
    case .failing: return [(after, code(2, question))]
    case .refusing: return [(after, code(5, question))]
    case .unreachable: return [(after, .failure(.unreachable))]
    case .lying: return [(after, lie(question)), (after + delay(0...50), truth(question))]
    case .plain: return [(after, question.message[11] > 0 ? code(1, question) : truth(question))]
    case .truncating:
      guard question.transport == .stream else {
        return [(after, .message(header(question, flags: 0x8380, answers: 0), truth: nil))]
      }
      switch Int.random(in: 0..<3, using: &random) {
      case 0: return [(after, truth(question))]
      case 1: return [(after + delay(500...6000), truth(question))]
      default: return [(after + delay(0...900), .failure(.brokenOff))]
      }
    }
  }

  private func code(_ code: UInt16, _ question: SimulatedQuestion) -> Arrival {
    .message(header(question, flags: 0x8180 | code, answers: 0), truth: nil)
  }

  private mutating func truth(_ question: SimulatedQuestion) -> Arrival {
    guard let name = names.first(where: { $0.name == question.name && $0.exists }) else {
      return .message(denial(question, code: 3), truth: nil)
    }
    let addresses = name.addresses(question.family)
    guard !addresses.isEmpty else { return .message(denial(question, code: 0), truth: nil) }
    let alias = chance(3)
    var message = header(question, flags: 0x8180, answers: addresses.count + (alias ? 1 : 0))
    var owner = 12
    if alias {
      owner = message.count + 12
      message.append(record: 5, owner: 12, ttl: name.ttl, [1, UInt8(ascii: "w"), 0xc0, 12])
    }
    for address in addresses {
      message.append(address, owner: owner, ttl: alias ? name.ttl &+ 9 : name.ttl)
    }
    // The highest bit set counts as zero, and the alias's time is the lesser one.
    let ttl = name.ttl >> 31 == 0 ? name.ttl : 0
    let truth = Truth(
      family: question.family, addresses: addresses, ttl: ttl, asked: question.now)
    return .message(message, truth: truth)
  }

  private mutating func denial(_ question: SimulatedQuestion, code: UInt16) -> [UInt8] {
    var message = header(question, flags: 0x8180 | code, answers: 0)
    guard chance(2) else { return message }
    message[9] = 1
    let time: UInt8 = [0, 1, 3, 200].randomElement(using: &random)!
    message.append(
      record: 6, owner: 12, ttl: 900, [0, 0] + [UInt8](repeating: 0, count: 19) + [time])
    return message
  }

  // MARK: Lies

  /// By one who does not know what ID was sent, or answers something else.
  private mutating func forgery(_ question: SimulatedQuestion) -> Arrival {
    var message = evil(question, owner: 12)
    switch Int.random(in: 0..<3, using: &random) {
    case 0: message[1] ^= UInt8.random(in: 1...255, using: &random)
    case 1: message[13] = UInt8(ascii: "x")  // another name
    default: message[12 + wireName(question.name).count + 1] ^= 29  // A for AAAA
    }
    return .message(message, truth: nil)
  }

  /// By one who has read the question.
  private mutating func lie(_ question: SimulatedQuestion) -> Arrival {
    var message: [UInt8]
    switch Int.random(in: 0..<6, using: &random) {
    case 0: message = evil(question, owner: hidesOwners ? 12 : 16)  // "example"
    case 1:
      message = evil(question, owner: 12)
      message[2] = 0x01  // a question
    case 2:
      message = evil(question, owner: 12)
      message.removeLast(Int.random(in: 1..<message.count, using: &random))
    case 3:
      message = Array(question.message[..<2])
      for _ in 0..<Int.random(in: 0...60, using: &random) {
        message.append(UInt8.random(in: 0...255, using: &random))
      }
    case 4:
      message = evil(question, owner: 12)
      message[message.count - (question.family == .ipv4 ? 5 : 17)] ^= 3  // the record's length
    default: message = []
    }
    return .message(message, truth: nil)
  }

  private func evil(_ question: SimulatedQuestion, owner: Int) -> [UInt8] {
    var message = header(question, flags: 0x8180, answers: 1)
    message.append(question.family == .ipv4 ? Self.evil4 : Self.evil6, owner: owner, ttl: 300)
    return message
  }

  // MARK: Chance

  private mutating func delay(_ range: ClosedRange<Int64>) -> Int64 {
    Int64.random(in: range, using: &random)
  }

  /// One in `count`.
  private mutating func chance(_ count: Int) -> Bool {
    Int.random(in: 0..<count, using: &random) == 0
  }
}

/// The question as it was asked, under other flags.
private func header(_ question: SimulatedQuestion, flags: UInt16, answers: Int) -> [UInt8] {
  var message = Array(question.message[..<(12 + wireName(question.name).count + 4)])
  message[2] = UInt8(flags >> 8)
  message[3] = UInt8(flags & 0xff)
  message[7] = UInt8(answers)
  message[11] = 0
  return message
}

extension [UInt8] {
  fileprivate mutating func append(
    record type: UInt8, owner: Int, ttl: UInt32, _ data: [UInt8]
  ) {
    self += [0xc0, UInt8(owner), 0, type, 0, 1]
    for shift in [24, 16, 8, 0] as [UInt32] { append(UInt8(truncatingIfNeeded: ttl >> shift)) }
    self += [0, UInt8(data.count)]
    self += data
  }

  fileprivate mutating func append(_ address: IPAddress, owner: Int, ttl: UInt32) {
    let shifts = stride(from: UInt64(56), through: 0, by: -8)
    let low = shifts.map { UInt8(truncatingIfNeeded: address.low >> $0) }
    if address.isIPv4 {
      append(record: 1, owner: owner, ttl: ttl, Array(low.suffix(4)))
    } else {
      let high = shifts.map { UInt8(truncatingIfNeeded: address.high >> $0) }
      append(record: 28, owner: owner, ttl: ttl, high + low)
    }
  }
}
