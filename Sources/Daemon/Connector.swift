// From a client that is no probe to an established connection: performs what Race decides, with the
// addresses that Names gives.
import Core
import Linux

extension Worker {
  /// How long to wait for others to give descriptors or memory back.
  private var shortageDelay: Nanoseconds { .milliseconds(50) }

  func prepareDialing(_ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.dialing = Dialing(
      end: connection.pointee.accepted + settings.connectTimeout)
    connection.pointee.phase = .dialing
  }

  func beginDialing(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    prepareDialing(connection)
    dial(slot, connection)
  }

  // MARK: The race

  func dial(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    let dialing = connection.pointee.dialing!
    if !dialing.hints.isNothing, judge(slot, connection, dialing) { return }
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
      if connection.pointee.relay.clientHasStirred { attempt.acknowledgeWithBytes() }
      var result = attempt.connect()
      let isProven = result == .inProgress && endpoint.address.isLoopback
      if isProven {
        // Before it is sent to: an attempt that could not be watched must not have taken bytes.
        try watch(
          attempt.number, with: door.poller.number, for: .input, token: token(slot, .upstream))
        result = prove(connection, attempt)
        if connection.pointee.relay.wasAborted {
          close(slot, connection, resets: true)
          return true
        }
      }
      if case .failed(let error) = result { throw error }
      // From an address of this machine to itself, the two ends have the same.
      if mayLoop, try attempt.localAddress() == endpoint.address {
        dialing.removeLast()
        dialing.fail(endpoint, .loop, now: now)
        return false
      }
      try watchAttempt(attempt, slot, result, isWatched: isProven)
      guard result == .connected else { return false }
      connection.pointee.isUpstreamWatchedFully = false
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

  private func watchAttempt(
    _ attempt: Dialing.Attempt, _ slot: UInt32, _ result: ConnectResult, isWatched: Bool
  ) throws(Errno) {
    let interest: Interest = result == .connected ? .input : .changes
    let token = token(slot, .upstream)
    if !isWatched {
      try watch(attempt.number, with: door.poller.number, for: interest, token: token)
    } else if result != .connected {
      try rewatch(attempt.number, with: door.poller.number, for: interest, token: token)
    }
  }

  /// On this machine the handshake is over by now, though connect(2) does not say so. Sending what
  /// the client has said already proves it at no cost; else connect(2) is asked again.
  private func prove(
    _ connection: UnsafeMutablePointer<Connection>, _ attempt: Dialing.Attempt
  ) -> ConnectResult {
    turn = Relay.Turn(rules)
    guard connection.pointee.relay.canPass(from: .client, rules),
      perform(.receive(limit: Int(rules.bufferBytes)), from: .client, connection),
      case .move(_, let step) = connection.pointee.relay.next(rules, turn, everyByte: false),
      case .send(_, let count, _) = step
    else { return attempt.connect() }
    let result = attempt.send(buffer, count: count)
    if case .moved(let sent) = result {
      countMoved(sent, from: .client, connection)
      connection.pointee.relay.record(.moved(sent), of: step, from: .client, rules, &turn)
      return .connected
    }
    // Kept for when the target is reached.
    connection.pointee.relay.record(.wouldBlock, of: step, from: .client, rules, &turn)
    _ = perform(.stash(offset: 0, count: count), from: .client, connection)
    if case .failed(let error) = result { return .failed(error) }
    return .inProgress
  }

  /// With the last descriptor if need be; then nobody is accepted until there is another.
  private func makeAttempt(
    to endpoint: Endpoint, isFirst: Bool
  ) throws(Errno) -> Dialing.Attempt {
    let address = SocketAddress(endpoint)
    do throws(Errno) {
      return Dialing.Attempt(try Socket.stream(for: address), to: endpoint)
    } catch {
      let failure = Failure(error)
      // An attempt beside others can wait for them.
      guard failure.isShortage, isFirst else { throw error }
      pauseForShortage(failure)
      guard releaseSpare() else { throw error }
      return Dialing.Attempt(try Socket.stream(for: address), to: endpoint)
    }
  }

  /// Asks each attempt how far it came: an event does not say whose it is, unless there is one
  /// attempt alone. True when one has won.
  private func judge(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ dialing: Dialing
  ) -> Bool {
    connection.pointee.isUpstreamWatchedFully = true
    let hints = dialing.hints
    if dialing.attempts.count == 1 && hints.isWritable && !hints.hasError && !hints.hasHungUp {
      beginRelaying(slot, connection, dialing, 0)
      return true
    }
    let areMixed = dialing.attempts.count > 1
    var index = 0
    while index < dialing.attempts.count {
      let attempt = dialing.attempts[index]
      switch attempt.connect() {
      case .inProgress: index += 1
      case .connected:
        if areMixed { hearAgain(slot, connection, attempt) }
        beginRelaying(slot, connection, dialing, index)
        return true
      case .failed(let error):
        dialing.remove(at: index)
        fail(dialing, attempt.endpoint, Failure(error))
      }
    }
    dialing.hints = Readiness(bits: 0)
    return false
  }

  /// What was told may be another attempt's: the end of one that failed is not this one's.
  private func hearAgain(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ winner: Dialing.Attempt
  ) {
    connection.pointee.dialing!.hints = Readiness(bits: 0)
    do throws(Errno) {
      try rewatch(
        winner.number, with: door.poller.number, for: .changes, token: token(slot, .upstream))
    } catch {
      connection.pointee.relay.abort(.error)
    }
  }

  private func fail(_ dialing: Dialing, _ endpoint: Endpoint, _ failure: Failure) {
    names.penalties.add(endpoint.address, now: now)
    dialing.fail(endpoint, failure, now: now)
  }

  private func beginRelaying(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ dialing: Dialing,
    _ winner: Int
  ) {
    // Those that began earlier and have not answered yet are slower.
    for loser in dialing.attempts[..<winner] {
      names.penalties.add(loser.endpoint.address, now: now)
    }
    let endpoint = dialing.attempts[winner].endpoint
    names.penalties.clear(endpoint.address)
    connection.pointee.upstreamAddress = endpoint.address
    connection.pointee.upstream = dialing.takeSocket(at: winner)
    connection.pointee.dialing = nil
    connection.pointee.phase = .relaying
    countEstablished(1, connection)
    let connectTime = now - connection.pointee.accepted
    connection.pointee.connectMicroseconds = UInt32(clamping: connectTime.count / 1_000)
    countEstablished(of: connection.pointee.forward, after: connectTime)
    connection.pointee.lastMoved = now
    note(dialing.hints, of: .upstream, connection)
    connection.pointee.note(.writable, of: .upstream)
    armTimer(slot, connection)
    if logs(.debug) {
      line.connectionOpened(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint,
        target: target(of: connection), address: endpoint, at: .now)
      queueLine()
    }
    relayTurn(slot, connection)
  }
}
