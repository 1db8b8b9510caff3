// What is known of one name: the answer that connections use, how long it holds, when it is looked
// up again, and what stands in when no server answers. Makes no call; `now` is an argument.

public struct NameRecord: Sendable {
  public enum Step: Equatable, Sendable {
    /// Read what is in files and call `begin`.
    case begin
    case ask(slot: Int, Lookup.Transport, again: Bool)
    /// Close the sockets of the lookup.
    case hangUp
    /// `answer` is new.
    case publish
    /// For two whole answers now, an address is gone: what is open to any but the `lasting` ones
    /// leads to where the name does not lead any more.
    case retire
    case tell(NameEvent)
    /// Nil: until somebody asks.
    case wait(until: Instant?)
  }

  public let name: [UInt8]
  private let isAbsolute: Bool
  private let rules: NameRules

  public private(set) var answer = NameAnswer()
  public private(set) var lookup: Lookup?
  public private(set) var counts = NameCounts()
  /// The addresses of the last two whole answers.
  public private(set) var lasting: [IPAddress] = []

  private var mustBegin = false
  private var mustPublish = false
  private var mustRetire = false
  private var mustHangUp = false
  private var hasPublishedEarly = false
  private var events: [NameEvent] = []
  private var refreshAt = Instant.never
  /// However much is asked for: names are not looked up more often.
  private var beginsNotBefore = Instant(nanoseconds: .min)
  /// The last answer with addresses, whole or early.
  private var good = NameAnswer()
  private var lastWhole: [IPAddress] = []
  /// The addresses that were told last, or would have been but for their number.
  private var told: [IPAddress] = []
  private var isInOutage = false
  private var saying = NameSaying()

  /// `name` in lower case without its trailing dot; `isAbsolute` when it was written with one.
  public init(name: [UInt8], isAbsolute: Bool, rules: NameRules) {
    self.name = name
    self.isAbsolute = isAbsolute
    self.rules = rules
  }

  /// A new answer is on its way, or about to be asked for.
  public var isLookingUp: Bool { lookup != nil || mustBegin }

  // MARK: Asking

  /// Somebody needs an answer from a lookup that began at `since` or later.
  public mutating func demand(since: Instant, now: Instant) {
    if since <= answer.startedAt && now < answer.freshUntil { return }
    renew()
  }

  /// A lookup that only waits for its second family has given its answer; any other will.
  private mutating func renew() {
    if lookup != nil {
      guard hasPublishedEarly else { return }
      abandon()
    }
    mustBegin = true
  }

  /// A lookup knows its servers by their places in resolv.conf: when those have changed, because
  /// another name's lookup has read it again, it begins anew.
  @inline(never) private mutating func keepUp(with servers: NameServers) {
    guard let lookup, lookup.endpoints != servers.conf.servers else { return }
    abandon()
    mustBegin = true
  }

  private mutating func abandon() {
    lookup = nil
    mustHangUp = true
  }

  /// Begins a lookup; one that /etc/hosts answers is over with it.
  public mutating func begin(hosts: HostsFile, servers: inout NameServers, now: Instant) {
    mustBegin = false
    beginsNotBefore = now + NameRules.leastInterval
    refreshAt = .never
    hasPublishedEarly = false
    let listed = hosts.addresses(of: name)
    guard listed.isEmpty else {
      var found = NameAnswer()
      found.addresses = listed
      found.isListed = true
      found.startedAt = now
      found.freshUntil = now + NameRules.listedTime
      adopt(found, isWhole: true, now)
      return
    }
    lookup = Lookup(
      candidates: servers.conf.candidates(for: name, isAbsolute: isAbsolute), servers: &servers,
      limit: rules.lookupLimit, now: now)
  }

  /// The next step; with `.wait`, call again by then, or after any other call. `isUsed`: whether
  /// anybody has used the answer since it came.
  public mutating func next(
    now: Instant, isUsed: () -> Bool, servers: inout NameServers, budget: inout QueryBudget,
    random: () -> UInt16
  ) -> Step {
    keepUp(with: servers)
    while true {
      if refreshAt <= now {
        refreshAt = .never
        if isUsed() { renew() }
      }
      if mustPublish {
        mustPublish = false
        return .publish
      }
      if mustRetire {
        mustRetire = false
        return .retire
      }
      if !events.isEmpty { return .tell(events.removeFirst()) }
      if mustHangUp {
        mustHangUp = false
        return .hangUp
      }
      if mustBegin && beginsNotBefore <= now { return .begin }
      guard lookup != nil else {
        let next = mustBegin ? min(beginsNotBefore, refreshAt) : refreshAt
        return .wait(until: next == .never ? nil : next)
      }
      switch lookup!.next(now: now, servers: &servers, budget: &budget, random: random) {
      case .ask(let slot, let transport, let again):
        return .ask(slot: slot, transport, again: again)
      case .done: conclude(now)
      case .wait(let until):
        guard let wake = wakeBefore(until, now) else { continue }
        return .wait(until: min(wake, refreshAt))
      }
    }
  }

  public mutating func receive(
    _ message: [UInt8], slot: Int, now: Instant, servers: inout NameServers
  ) -> DNSReply {
    keepUp(with: servers)
    return lookup?.receive(message, slot: slot, now: now, servers: &servers) ?? .notOurs
  }

  @inline(never) public mutating func fail(
    _ slot: Int, _ word: ServerWord, now: Instant, servers: inout NameServers
  ) {
    keepUp(with: servers)
    lookup?.fail(slot, word, now: now, servers: &servers)
  }

  // MARK: What came of it

  /// When to look again before `until`. Nil when something was to be done right now, and was.
  private mutating func wakeBefore(_ until: Instant, _ now: Instant) -> Instant? {
    guard !hasPublishedEarly, let lookup else { return until }
    var wake = until
    for family in Family.allCases {
      guard case .addresses? = lookup.finding(of: family) else { continue }
      let early = lookup.foundAt(family) + NameRules.resolutionDelay
      if early <= now {
        hasPublishedEarly = true
        adopt(NameAnswer(lookup), isWhole: false, now)
        return nil
      }
      wake = min(wake, early)
    }
    let impatient = lookup.startedAt + NameRules.stalePatience
    guard !answer.isUsable(now: now), isGoodEnough(now) else { return wake }
    guard impatient <= now else { return min(wake, impatient) }
    useStale(lookup, now)
    return nil
  }

  private mutating func conclude(_ now: Instant) {
    guard let lookup else { return }
    let findings = Family.allCases.map { lookup.finding(of: $0)! }
    abandon()
    let found = NameAnswer(lookup)
    if !found.addresses.isEmpty {
      counts.resolved += 1
      adopt(found, isWhole: !findings.contains(.failed), now)
    } else if findings.contains(.failed) {
      counts.count(.nameServersFailed)
      if isGoodEnough(now) {
        tellOutage(lookup, now)
        useStale(lookup, now)
      } else {
        fail(.nameServersFailed, nil, lookup, now)
      }
    } else {
      let failure: Failure = lookup.someNameExists ? .nameWithoutAddress : .nameNotFound
      counts.count(failure)
      fail(failure, findings.compactMap { $0.negativeTTL }.min(), lookup, now)
    }
  }

  private mutating func adopt(_ found: NameAnswer, isWhole: Bool, _ now: Instant) {
    if isInOutage {
      isInOutage = false
      events.append(.recovered)
    }
    if isWhole {
      let before = lasting
      lasting = lastWhole + found.addresses
      mustRetire = mustRetire || !before.allSatisfy { lasting.contains($0) }
      lastWhole = found.addresses
    }
    // A family that is late this time is no change.
    let isKnown = found.addresses.allSatisfy { told.contains($0) }
    let isComplete = told.allSatisfy { found.addresses.contains($0) }
    if !isKnown || (isWhole && !isComplete) {
      if !told.isEmpty { counts.changes += 1 }
      if let unsaid = saying.admitChange(now) {
        events.append(.changed(from: told, to: found.addresses, unsaid: unsaid))
      }
      told = found.addresses
    }
    good = found
    saying.forgetFailure()
    publish(found, now)
  }

  private mutating func publish(_ new: NameAnswer, _ now: Instant) {
    answer = new
    if !answer.isStale { answer.usableUntil = answer.freshUntil }
    mustPublish = true
    // A fifth of its time before the end, so that nobody ever waits for the next. After a failure
    // for those who are connected: new clients ask for themselves.
    let rest = answer.freshUntil - now
    refreshAt =
      now + (answer.failure == nil ? Nanoseconds(count: rest.count / 5 * 4) : NameRules.staleRetry)
  }

  // MARK: When no server answers

  /// Whether the last good answer may still stand in.
  private func isGoodEnough(_ now: Instant) -> Bool {
    !good.addresses.isEmpty && now < good.freshUntil + rules.staleLimit
  }

  /// Once, until somebody answers again. A lookup that is only slow is not worth a line.
  private mutating func tellOutage(_ lookup: Lookup, _ now: Instant) {
    guard !isInOutage else { return }
    isInOutage = true
    words = lookup.words
    events.append(.stale(since: now - good.startedAt))
  }

  @inline(never) private mutating func useStale(_ lookup: Lookup, _ now: Instant) {
    counts.stale += 1
    var stale = good
    stale.isStale = true
    stale.startedAt = lookup.startedAt
    stale.usableUntil = good.freshUntil + rules.staleLimit
    stale.freshUntil = min(now + NameRules.staleRetry, stale.usableUntil)
    publish(stale, now)
  }

  @inline(never) private mutating func fail(
    _ failure: Failure, _ ttl: UInt32?, _ lookup: Lookup, _ now: Instant
  ) {
    isInOutage = failure == .nameServersFailed
    if let repeated = saying.admit(failure, now) {
      words = lookup.words
      events.append(.failed(failure, repeated: repeated))
    }
    var failed = NameAnswer()
    failed.failure = failure
    failed.startedAt = lookup.startedAt
    let seconds = max(
      NameRules.leastTTL, min(Int64(ttl ?? 0), NameRules.greatestNegativeTTL))
    failed.freshUntil =
      now + (failure == .nameServersFailed ? NameRules.failureTime : .seconds(seconds))
    if failure != .nameServersFailed {
      good = NameAnswer()
      told = []
    }
    publish(failed, now)
  }

  /// What the servers said when the last failure was told.
  public private(set) var words: [(server: Endpoint, word: ServerWord)] = []
}
