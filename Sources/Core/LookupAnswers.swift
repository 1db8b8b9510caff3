// What answers, errors and broken connections do to a lookup, and what there is to see of it.
// Whom to ask when is decided in Lookup.swift.

extension Lookup {
  /// A message for this slot. Returns how it was taken, for the log.
  public mutating func receive(
    _ message: [UInt8], slot: Int, now: Instant, servers: inout NameServers
  ) -> DNSReply {
    let (family, server) = parts(slot)
    let index = family.rawValue
    let exchange = exchanges[slot]
    guard questions[index].finding == nil, exchange.sends > 0, !exchange.isOver else {
      return .notOurs
    }
    let question = DNSQuestion(name: candidates[candidate], family: family)
    let reply = readReply(
      message, to: question, id: exchange.id, byTCP: exchange.transport == .stream)
    switch reply {
    case .notOurs: return reply
    case .truncated:
      exchanges[slot].transport = .stream
      askAgain(slot)
    case .addresses(let addresses, let ttl):
      exchanges[slot].word = .answered
      find(.addresses(addresses, ttl: ttl), family, now)
    case .noAddress(let ttl):
      exchanges[slot].word = .noAddress
      find(.noAddress(ttl: ttl), family, now)
    case .noName(let ttl):
      exchanges[slot].word = .noName
      find(.noName(ttl: ttl), family, now)
    case .fault(let fault): take(fault, slot, now, &servers)
    }
    // A round trip only where it is known which of several equal questions was answered (Karn).
    if exchange.sends == 1, exchange.transport == .datagram, questions[index].finding != nil {
      servers.recordAnswer(of: server, after: now - exchange.sentAt)
    }
    return reply
  }

  private mutating func take(
    _ fault: ServerFault, _ slot: Int, _ now: Instant, _ servers: inout NameServers
  ) {
    let mayBeEDNS = fault == .formatError || fault == .notImplemented || fault == .code(16)
    if mayBeEDNS && exchanges[slot].mayFaultEDNS {
      exchanges[slot].mayFaultEDNS = false
      servers.recordNoEDNS(of: parts(slot).server)
      // Else the question has gone out without one since, and may yet be answered.
      if exchanges[slot].edns {
        exchanges[slot].edns = false
        askAgain(slot)
      }
      return
    }
    // A server that could not find out may next time, and what cannot be read may not be from it:
    // its answer may still come. Any other would say the same again.
    exchanges[slot].isOver = fault != .serverFailure && fault != .malformed
    giveUp(slot, .fault(fault), now, &servers)
  }

  /// The exchange broke: an error of its socket, or the end of a TCP answer.
  @inline(never) public mutating func fail(
    _ slot: Int, _ word: ServerWord, now: Instant, servers: inout NameServers
  ) {
    guard questions[parts(slot).family.rawValue].finding == nil else { return }
    giveUp(slot, word, now, &servers)
  }

  private mutating func giveUp(
    _ slot: Int, _ word: ServerWord, _ now: Instant, _ servers: inout NameServers
  ) {
    let (family, server) = parts(slot)
    exchanges[slot].word = word
    servers.recordFailure(of: server, now: now)
    let index = family.rawValue
    if questions[index].current == server && !questions[index].isPending {
      questions[index].tryEnds = now
    }
  }

  /// At once, without waiting for its turn.
  private mutating func askAgain(_ slot: Int) {
    let (family, server) = parts(slot)
    exchanges[slot].sends = 0
    questions[family.rawValue].current = server
    questions[family.rawValue].isPending = true
  }

  mutating func find(_ finding: Finding, _ family: Family, _ now: Instant) {
    questions[family.rawValue].finding = finding
    questions[family.rawValue].foundAt = now
  }

  // MARK: What there is to see

  /// Nil while the family has none.
  public func finding(of family: Family) -> Finding? { questions[family.rawValue].finding }

  func foundAt(_ family: Family) -> Instant { questions[family.rawValue].foundAt }

  /// Whether any of the names that were tried exists.
  public var someNameExists: Bool {
    sawNoAddress || questions.contains { if case .noAddress? = $0.finding { true } else { false } }
  }

  /// The bytes to send: by TCP after their count in two octets (RFC 1035, section 4.2.2).
  public func message(of slot: Int) -> [UInt8] {
    let exchange = exchanges[slot]
    let question = DNSQuestion(name: candidates[candidate], family: parts(slot).family)
    let message = question.message(id: exchange.id, edns: exchange.edns)
    switch exchange.transport {
    case .datagram: return message
    case .stream:
      var framed: [UInt8] = []
      framed.append(bigEndian: UInt16(message.count))
      return framed + message
    }
  }

  public func server(of slot: Int) -> Endpoint { endpoints[parts(slot).server] }
  public func family(of slot: Int) -> Family { parts(slot).family }
  /// When the question was last sent.
  public func askedAt(_ slot: Int) -> Instant { exchanges[slot].sentAt }
  /// The name that is being asked for.
  public var name: [UInt8] { candidates[candidate] }

  /// What each server said last, in the order in which they were asked; where the families differ,
  /// the word that kept the lookup from its end.
  public var words: [(server: Endpoint, word: ServerWord)] {
    order.compactMap { server in
      let ipv4 = exchanges[slot(.ipv4, server)].word
      let ipv6 = exchanges[slot(.ipv6, server)].word
      let word = ipv4.isSettled && ipv6 != .notAsked ? ipv6 : ipv4
      return word == .notAsked ? nil : (endpoints[server], word)
    }
  }
}

extension ServerWord {
  /// Nothing that another server had to be asked for.
  fileprivate var isSettled: Bool {
    switch self {
    case .notAsked, .noName, .noAddress, .answered: true
    case .noAnswer, .noDescriptors, .unreachable, .brokenOff, .fault: false
    }
  }
}

extension Lookup.Finding {
  /// How long it holds that there is nothing, as far as the answer said so.
  var negativeTTL: UInt32? {
    switch self {
    case .noAddress(let ttl), .noName(let ttl): ttl
    case .addresses, .failed: nil
    }
  }
}
