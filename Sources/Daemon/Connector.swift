// From an accepted client to an established connection: performs what Dial decides, and lets a
// client go that left before the target was reached.
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
    case .met: if hints.isReadable || hints.hasEnded { dialNext(slot, connection) }
    case .next: dialNext(slot, connection)
    case .dialing:
      if !connection.pointee.upstreamHints.isNothing {
        judge(slot, connection, connect(connection))
      }
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
    case .forward: dialNext(slot, connection)
    }
  }

  /// CONNECT_TIMEOUT, or this address's share of it, is over.
  func dialExpired(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    switch connection.pointee.phase {
    case .accepted, .met, .next: connection.pointee.phase = .next
    case .dialing:
      connection.pointee.dial.fail(.timedOut)
      connection.pointee.phase = .next
    case .relaying: preconditionFailure("the target is reached already")
    }
    enqueue(slot, connection)
  }

  private func dialNext(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.upstream = Socket(owning: -1)
    connection.pointee.upstreamHints = Readiness(bits: 0)
    switch connection.pointee.dial.next(now: now) {
    case .giveUp(let failure): giveUp(slot, connection, failure)
    case .connect(let index, let until):
      let port = target(of: connection).port
      let endpoint = Endpoint(address: connection.pointee.addresses[index], port: port)
      connection.pointee.upstreamEndpoint = endpoint
      do throws(Errno) {
        connection.pointee.upstream = try makeSocket(to: SocketAddress(endpoint))
      } catch {
        return failAttempt(slot, connection, Failure(error))
      }
      connection.pointee.phase = .dialing
      timers.set(TimerKey.connection(slot), until)
      judge(slot, connection, connect(connection))
    }
  }

  /// With the last descriptor if need be; then nobody is accepted until there is another.
  private func makeSocket(to address: SocketAddress) throws(Errno) -> Socket {
    do throws(Errno) {
      return try Socket.connecting(to: address, keepalive: KeepaliveTimes(peerTimes))
    } catch {
      let failure = Failure(error)
      guard failure.isShortage else { throw error }
      pauseForShortage(failure)
      guard releaseSpare() else { throw error }
      return try Socket.connecting(to: address, keepalive: KeepaliveTimes(peerTimes))
    }
  }

  private func connect(_ connection: UnsafeMutablePointer<Connection>) -> ConnectResult {
    connection.pointee.upstream.connect(to: SocketAddress(connection.pointee.upstreamEndpoint!))
  }

  private func judge(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ result: ConnectResult
  ) {
    switch result {
    case .failed(let error): failAttempt(slot, connection, Failure(error))
    case .inProgress: watchUpstream(slot, connection)
    case .connected: if watchUpstream(slot, connection) { beginRelaying(slot, connection) }
    }
  }

  /// Once for each attempt. False when the attempt has failed with it.
  @discardableResult
  private func watchUpstream(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>
  ) -> Bool {
    guard !connection.pointee.isUpstreamWatched else { return true }
    do throws(Errno) {
      let token = Token.connection(
        slot: slot, generation: table.generation(slot), isUpstream: true)
      try watch(
        connection.pointee.upstream.number, with: door.poller.number, for: .changes,
        token: token.bits)
      connection.pointee.isUpstreamWatched = true
      return true
    } catch {
      failAttempt(slot, connection, Failure(error))
      return false
    }
  }

  private func failAttempt(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ failure: Failure
  ) {
    connection.pointee.isUpstreamWatched = false
    if failure.isShortage {
      connection.pointee.dial.retry(failure)
      connection.pointee.phase = .next
      connection.pointee.upstream = Socket(owning: -1)
      timers.set(TimerKey.connection(slot), now + shortageDelay)
    } else {
      connection.pointee.dial.fail(failure)
      connection.pointee.phase = .next
      enqueue(slot, connection)
    }
  }

  private func beginRelaying(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>
  ) {
    timers.clear(TimerKey.connection(slot))
    connection.pointee.addresses = []
    connection.pointee.phase = .relaying
    let connectTime = now - connection.pointee.accepted
    connection.pointee.connectMicroseconds = UInt32(clamping: connectTime.count / 1_000)
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
    discard(slot)
  }

  private func giveUp(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, _ failure: Failure
  ) {
    let forward = Int(connection.pointee.forward)
    if logs(.warn),
      case .log(let repeated) = fold.admit(forward: forward, failure: failure, now: now)
    {
      line.connectionFailed(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint,
        target: target(of: connection), address: connection.pointee.upstreamEndpoint,
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
