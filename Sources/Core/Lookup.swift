// One lookup: which server is asked for which family, when again and when the next, until each
// family has its finding. Makes no call; `now` and randomness are arguments. What is kept of it:
// NameRecord.swift.

/// What asking one server came to, for people.
public enum ServerWord: Equatable, Sendable {
  case notAsked
  /// Asked, and nothing came that could be believed.
  case noAnswer
  /// This process has no descriptor left to ask with.
  case noDescriptors
  /// The network or the server's machine said that nobody is there.
  case unreachable
  /// A TCP answer ended before it was whole.
  case brokenOff
  case fault(ServerFault)
  case noName
  case noAddress
  case answered
}

/// The questions for one name, in both families, to all servers that it takes.
public struct Lookup: Sendable {
  public enum Transport: Sendable { case datagram, stream }

  public enum Step: Equatable, Sendable {
    /// Send `message(of:)` to `server(of:)`. `again`: the same question, on the socket that is
    /// there; else on a new one, with a port of its own.
    case ask(slot: Int, Transport, again: Bool)
    case wait(until: Instant)
    /// Both families have their finding.
    case done
  }

  public enum Finding: Equatable, Sendable {
    case addresses([IPAddress], ttl: UInt32)
    case noAddress(ttl: UInt32?)
    case noName(ttl: UInt32?)
    /// No server gave an answer.
    case failed
  }

  /// Each family's question to each server has a slot.
  public static let slots = Family.allCases.count * ResolvConf.maxServers

  struct Exchange: Sendable {
    var id: UInt16 = 0
    var transport = Transport.datagram
    var edns = true
    /// An OPT record went out, and no fault has been put down to it yet.
    var mayFaultEDNS = false
    var sends = 0
    var sentAt = Instant.never
    /// Asking once more would get the same word.
    var isOver = false
    var word = ServerWord.notAsked
  }

  struct Question: Sendable {
    /// Tries so far, over all servers; a pass is one try of each.
    var tries = 0
    var passBegan = Instant.never
    var tryEnds = Instant(nanoseconds: .min)
    var current = 0
    /// To be sent as soon as the budget lets it.
    var isPending = false
    var finding: Finding?
    var foundAt = Instant.never
  }

  public let startedAt: Instant
  let end: Instant
  let candidates: [[UInt8]]
  private let isSingleRequest: Bool
  private let asksForIPv6: Bool
  let order: [Int]
  let endpoints: [Endpoint]
  var candidate = 0
  var sawNoAddress = false
  var exchanges: [Exchange]
  var questions: [Question]

  /// `candidates` are the names to try in turn, one at least (ResolvConf.swift); `limit` is what
  /// the lookup may take in all.
  @inline(never) public init(
    candidates: [[UInt8]], servers: inout NameServers, limit: Nanoseconds, now: Instant
  ) {
    self.candidates = candidates
    startedAt = now
    let conf = servers.conf
    let patience = conf.timeout.count * Int64(conf.attempts * servers.count)
    end = now + min(Nanoseconds(count: patience), limit)
    isSingleRequest = conf.isSingleRequest
    asksForIPv6 = conf.asksForIPv6
    endpoints = conf.servers
    order = servers.order(now: now)
    exchanges = []
    questions = []
    ask(servers)
  }

  /// Begins to ask for the candidate.
  private mutating func ask(_ servers: NameServers) {
    questions = Array(repeating: Question(), count: Family.allCases.count)
    exchanges = Array(repeating: Exchange(), count: Self.slots)
    for slot in exchanges.indices {
      let server = parts(slot).server
      exchanges[slot].edns = server < servers.count && servers.readsEDNS(server)
      exchanges[slot].transport = servers.conf.usesTCP ? .stream : .datagram
    }
    // Not `noAddress`, which would say that the name exists.
    if !asksForIPv6 { questions[Family.ipv6.rawValue].finding = .noName(ttl: nil) }
  }

  // MARK: What to do

  /// The next step; with `.wait`, call again by then, or when something was received or failed.
  @inline(never) public mutating func next(
    now: Instant, servers: inout NameServers, budget: inout QueryBudget, random: () -> UInt16
  ) -> Step {
    while true {
      var wake = end
      var hasGivenUp = false
      for family in Family.allCases where mayAsk(family) {
        if now >= end {
          find(.failed, family, now)
        } else if !questions[family.rawValue].isPending {
          advance(family, now, &servers)
        }
        let question = questions[family.rawValue]
        guard question.finding == nil else {
          hasGivenUp = true
          continue
        }
        guard question.isPending else {
          wake = min(wake, question.tryEnds)
          continue
        }
        if let later = budget.take(now: now) {
          wake = min(wake, later)
          continue
        }
        return send(family, now, servers, random)
      }
      guard questions.allSatisfy({ $0.finding != nil }) else {
        // It may have been the first of two single requests.
        if hasGivenUp { continue }
        return .wait(until: wake)
      }
      guard triesNextCandidate(servers) else { return .done }
    }
  }

  private func mayAsk(_ family: Family) -> Bool {
    guard questions[family.rawValue].finding == nil else { return false }
    guard isSingleRequest, family == .ipv6 else { return true }
    return questions[Family.ipv4.rawValue].finding != nil
  }

  /// Moves on to the next server when the time of this try is over.
  private mutating func advance(_ family: Family, _ now: Instant, _ servers: inout NameServers) {
    let index = family.rawValue
    guard questions[index].tryEnds <= now else { return }
    if questions[index].tries > 0 {
      let current = questions[index].current
      if exchanges[slot(family, current)].word == .noAnswer {
        servers.recordFailure(of: current, now: now)
      }
    }
    while order.contains(where: { !exchanges[slot(family, $0)].isOver }) {
      let tries = questions[index].tries
      if tries % order.count == 0 {
        if tries > 0 {
          // Servers that failed at once are asked again no sooner than silent ones.
          let pass = tries / order.count
          let earliest =
            questions[index].passBegan + servers.timeout(of: order[0], pass: pass - 1)
          if now < earliest {
            questions[index].tryEnds = earliest
            return
          }
        }
        questions[index].passBegan = now
      }
      let server = order[tries % order.count]
      questions[index].tries += 1
      guard !exchanges[slot(family, server)].isOver else { continue }
      questions[index].current = server
      questions[index].isPending = true
      return
    }
    find(.failed, family, now)
  }

  private mutating func send(
    _ family: Family, _ now: Instant, _ servers: NameServers, _ random: () -> UInt16
  ) -> Step {
    let index = family.rawValue
    let server = questions[index].current
    let slot = slot(family, server)
    let isAgain = exchanges[slot].sends > 0 && exchanges[slot].transport == .datagram
    if !isAgain { exchanges[slot].id = random() }
    let pass = max(0, questions[index].tries - 1) / order.count
    // A firewall that drops answers to OPT records looks like a silent server.
    if pass > 0 { exchanges[slot].edns = false }
    if exchanges[slot].edns { exchanges[slot].mayFaultEDNS = true }
    exchanges[slot].sends += 1
    exchanges[slot].sentAt = now
    exchanges[slot].word = .noAnswer
    questions[index].isPending = false
    let transport = exchanges[slot].transport
    questions[index].tryEnds =
      now + servers.timeout(of: server, pass: transport == .stream ? pass + 2 : pass)
    return .ask(slot: slot, transport, again: isAgain)
  }

  /// True when nothing was found under this name and there is another to try.
  private mutating func triesNextCandidate(_ servers: NameServers) -> Bool {
    for question in questions {
      switch question.finding! {
      case .addresses, .failed: return false
      case .noAddress: sawNoAddress = true
      case .noName: break
      }
    }
    guard candidate + 1 < candidates.count else { return false }
    candidate += 1
    ask(servers)
    return true
  }

  func slot(_ family: Family, _ server: Int) -> Int {
    family.rawValue * ResolvConf.maxServers + server
  }

  func parts(_ slot: Int) -> (family: Family, server: Int) {
    let (family, server) = slot.quotientAndRemainder(dividingBy: ResolvConf.maxServers)
    return (Family(rawValue: family)!, server)
  }
}
