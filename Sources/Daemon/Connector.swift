// From an accepted client to an established connection: performs what Race decides, with the
// addresses that Names gives, and lets a client go that left before the target was reached.
import Core
import Linux

extension Worker {
  /// How long to wait for others to give descriptors or memory back.
  private var shortageDelay: Nanoseconds { .milliseconds(50) }

  /// How long a client that has said nothing may take to show that it is a probe. Of 300 `nc -z`
  /// on two CPUs kept busy by three other processes, 55 were slower than 1 ms, 4 than 5 ms, 1 than
  /// 20 ms; a client of a server that greets first waits this long once.
  private var probeGrace: Nanoseconds { .milliseconds(5) }

  func dialTurn(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if let reason = phase.cutReason {
      connection.pointee.relay.abort(reason)
      return close(slot, connection, resetClient: true, resetUpstream: true)
    }
    let hints = connection.pointee.clientHints
    if hints.hasEnded || hints.hasError, hasLeft(connection) { return absorb(slot, connection) }
    switch connection.pointee.phase {
    case .accepted: meet(slot, connection)
    case .met: if hints.isReadable || hints.hasEnded { beginDialing(slot, connection) }
    case .dialing: dial(slot, connection)
    case .relaying: preconditionFailure("the target is reached already")
    }
  }

  /// Watches the client, and waits for its first byte or its end before the target hears of it.
  private func meet(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    do throws(Errno) {
      let token = Token.connection(
        slot: slot, generation: table.generation(slot), isUpstream: false)
      try watch(
        connection.pointee.client.number, with: door.poller.number, for: .changes,
        token: token.bits)
    } catch {
      return giveUp(slot, connection, Failure(error))
    }
    switch settings.probes {
    case .absorb:
      connection.pointee.phase = .met
      timers.set(TimerKey.connection(slot), now + probeGrace)
    case .forward: beginDialing(slot, connection)
    }
  }

  /// The grace is over, or the race has something to do.
  func dialExpired(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.pointee.phase == .met { prepareDialing(connection) }
    enqueue(slot, connection)
  }

  private func prepareDialing(_ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.dialing = Dialing(
      end: connection.pointee.accepted + settings.connectTimeout)
    connection.pointee.phase = .dialing
  }

  private func beginDialing(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    prepareDialing(connection)
    dial(slot, connection)
  }

  // MARK: The race

  private func dial(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    let dialing = connection.pointee.dialing!
    if !connection.pointee.upstreamHints.isNothing, judge(slot, connection, dialing) { return }
    while true {
      if let failure = takeAnswer(connection, dialing) {
        return giveUp(slot, connection, failure)
      }
      guard dialing.race != nil else {
        return timers.set(TimerKey.connection(slot), dialing.end)
      }
      switch dialing.race!.next(now: now) {
      case .connect(let address):
        if attempt(slot, connection, dialing, address) { return }
      case .dropOldest:
        names.penalties.add(dialing.attempts[0].endpoint.address, now: now)
        dialing.remove(at: 0)
      case .lookUp(let since): dialing.awaits = .answer(since: since)
      case .wait(let until): return timers.set(TimerKey.connection(slot), until)
      case .giveUp(let failure): return giveUp(slot, connection, failure)
      }
    }
  }

  /// Takes the answer that is awaited, if it is there. Returns why there is none for this client.
  private func takeAnswer(
    _ connection: UnsafeMutablePointer<Connection>, _ dialing: Dialing
  ) -> Failure? {
    let forward = Int(connection.pointee.forward)
    switch dialing.awaits {
    case .nothing: break
    case .firstAnswer:
      switch names.addresses(ofForward: forward, since: nil, now: now) {
      case .awaited: return dialing.end <= now ? .nameServersFailed : nil
      case .failed(let failure, _): return failure
      case .addresses(let addresses, let startedAt):
        dialing.awaits = .nothing
        dialing.race = Race(
          addresses: addresses, answerStartedAt: startedAt, end: dialing.end, now: now)
      }
    case .answer(let since):
      switch names.addresses(ofForward: forward, since: since, now: now) {
      case .awaited: break
      case .failed(_, let startedAt):
        dialing.awaits = .nothing
        dialing.race!.offer([], startedAt: startedAt, now: now)
      case .addresses(let addresses, let startedAt):
        dialing.awaits = .nothing
        dialing.race!.offer(addresses, startedAt: startedAt, now: now)
      }
    }
    return nil
  }

  /// True when this was all: the target has answered at once.
  private func attempt(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ dialing: Dialing,
    _ address: IPAddress
  ) -> Bool {
    let endpoint = Endpoint(address: address, port: target(of: connection).port)
    let mayLoop = shared.listens(on: endpoint)
    guard !mayLoop || !endpoint.address.isLoopback else {
      dialing.fail(endpoint, .loop, now: now)
      return false
    }
    do throws(Errno) {
      let attempt = try makeAttempt(to: endpoint, isFirst: dialing.attempts.isEmpty)
      dialing.add(attempt)
      let result = attempt.connect()
      if case .failed(let error) = result { throw error }
      // From an address of this machine to itself, the two ends have the same.
      if mayLoop, try attempt.localAddress() == endpoint.address {
        dialing.removeLast()
        dialing.fail(endpoint, .loop, now: now)
        return false
      }
      let token = Token.connection(
        slot: slot, generation: table.generation(slot), isUpstream: true)
      try watch(attempt.number, with: door.poller.number, for: .changes, token: token.bits)
      guard result == .connected else { return false }
      beginRelaying(slot, connection, dialing, dialing.attempts.count - 1)
      return true
    } catch {
      if dialing.attempts.last?.endpoint == endpoint { dialing.removeLast() }
      let failure = Failure(error)
      if failure.isShortage {
        dialing.race!.postpone(failure, until: now + shortageDelay)
      } else {
        fail(dialing, endpoint, failure)
      }
      return false
    }
  }

  /// With the last descriptor if need be; then nobody is accepted until there is another.
  private func makeAttempt(
    to endpoint: Endpoint, isFirst: Bool
  ) throws(Errno) -> Dialing.Attempt {
    let address = SocketAddress(endpoint)
    let keepalive = KeepaliveTimes(peerTimes)
    do throws(Errno) {
      return Dialing.Attempt(
        try Socket.connecting(to: address, keepalive: keepalive), to: endpoint)
    } catch {
      let failure = Failure(error)
      // An attempt beside others can wait for them.
      guard failure.isShortage, isFirst else { throw error }
      pauseForShortage(failure)
      guard releaseSpare() else { throw error }
      return Dialing.Attempt(
        try Socket.connecting(to: address, keepalive: keepalive), to: endpoint)
    }
  }

  /// Asks each attempt how far it came: an event does not say whose it is. True when one has won.
  private func judge(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ dialing: Dialing
  ) -> Bool {
    var index = 0
    while index < dialing.attempts.count {
      let attempt = dialing.attempts[index]
      switch attempt.connect() {
      case .inProgress: index += 1
      case .connected:
        beginRelaying(slot, connection, dialing, index)
        return true
      case .failed(let error):
        dialing.remove(at: index)
        fail(dialing, attempt.endpoint, Failure(error))
      }
    }
    connection.pointee.upstreamHints = Readiness(bits: 0)
    return false
  }

  private func fail(_ dialing: Dialing, _ endpoint: Endpoint, _ failure: Failure) {
    names.penalties.add(endpoint.address, now: now)
    dialing.fail(endpoint, failure, now: now)
  }

  private func beginRelaying(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ dialing: Dialing,
    _ winner: Int
  ) {
    timers.clear(TimerKey.connection(slot))
    // Those that began earlier and have not answered yet are slower.
    for loser in dialing.attempts[..<winner] {
      names.penalties.add(loser.endpoint.address, now: now)
    }
    let endpoint = dialing.attempts[winner].endpoint
    names.penalties.clear(endpoint.address)
    connection.pointee.upstreamEndpoint = endpoint
    connection.pointee.upstream = dialing.takeSocket(at: winner)
    connection.pointee.dialing = nil
    connection.pointee.phase = .relaying
    countEstablished(1, connection)
    let connectTime = now - connection.pointee.accepted
    connection.pointee.connectMicroseconds = UInt32(clamping: connectTime.count / 1_000)
    countEstablished(of: connection.pointee.forward, after: connectTime)
    connection.pointee.lastMoved = now
    connection.pointee.note(connection.pointee.clientHints, of: .client)
    connection.pointee.note(connection.pointee.upstreamHints, of: .upstream)
    if settings.idleTimeout != nil { armTimer(slot, connection) }
    if logs(.debug) {
      line.connectionOpened(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint,
        target: target(of: connection), address: connection.pointee.upstreamEndpoint!, at: .now)
      queueLine()
    }
    enqueue(slot, connection)
  }

  // MARK: Clients that leave or are sent away

  /// True for a client that is gone, or has ended its stream without a byte and is taken for a
  /// probe.
  private func hasLeft(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
    switch connection.pointee.client.peek() {
    case .moved, .wouldBlock: false
    case .ended: settings.probes == .absorb
    case .failed: true
    }
  }

  private func absorb(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if logs(.debug) {
      line.probeAbsorbed(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint, at: .now)
      queueLine()
    }
    door.counters.add(1, to: Count.absorbed, of: connection.pointee.forward)
    discard(slot)
  }

  private func giveUp(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ failure: Failure
  ) {
    let forward = Int(connection.pointee.forward)
    countFailure(failure, of: connection.pointee.forward)
    if logs(.warn),
      case .log(let repeated) = fold.admit(forward: forward, failure: failure, now: now)
    {
      line.connectionFailed(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint,
        target: target(of: connection), address: connection.pointee.dialing?.failingEndpoint,
        failure: failure, repeated: repeated, at: .now)
      queueLine()
    }
    if let deadline = fold.nextDeadline { timers.set(TimerKey.fold, deadline) }
    endUnreached(slot, connection)
  }

  private func endUnreached(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.client.resetOnClose()
    discard(slot)
  }

  /// The counts of failures whose window ends by then.
  func reportFolded(_ end: Instant) {
    while let (forward, failure, repeated) = fold.expired(now: end) {
      line.connectionFailedRepeatedly(
        target: settings.forwards[forward].target, failure: failure, repeated: repeated, at: .now)
      queueLine()
    }
    if let deadline = fold.nextDeadline { timers.set(TimerKey.fold, deadline) }
  }
}
