// An accepted client until the target is asked for it, and clients that leave or are sent away
// before the target was reached.
import Core
import Linux

extension Worker {
  /// How long a client that has said nothing may take to show that it is a probe. Of 300 `nc -z`
  /// on two CPUs kept busy by three other processes, 55 were slower than 1 ms, 4 than 5 ms, 1 than
  /// 20 ms; a client of a server that greets first waits this long once.
  private var probeGrace: Nanoseconds { .milliseconds(5) }

  func dialTurn(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if let reason = phase.cutReason {
      connection.pointee.relay.abort(reason)
      return close(slot, connection, resets: true)
    }
    let relay = connection.pointee.relay
    if relay.clientMayHaveEnded, !relay.holdsStash(from: .client), hasLeft(connection) {
      return absorb(slot, connection)
    }
    switch connection.pointee.phase {
    case .accepted: meet(slot, connection)
    case .met: if hasShown(connection) { beginDialing(slot, connection) }
    case .dialing: dial(slot, connection)
    case .relaying: preconditionFailure("the target is reached already")
    }
  }

  /// Watches the client, and waits for its first byte or its end before the target hears of it.
  private func meet(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    do throws(Errno) {
      let number = connection.pointee.client.number
      let token = token(slot, .client)
      if connection.pointee.isClientWatchedFully {
        connection.pointee.isClientWatchedFully = false
        try rewatch(number, with: door.poller.number, for: .input, token: token)
      } else {
        try watch(number, with: door.poller.number, for: .input, token: token)
      }
    } catch {
      return giveUp(slot, connection, Failure(error))
    }
    if hasShown(connection) { return beginDialing(slot, connection) }
    connection.pointee.phase = .met
    timers.set(TimerKey.connection(slot), now + probeGrace)
  }

  /// True when this client is no probe.
  private func hasShown(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
    connection.pointee.relay.clientHasStirred || settings.probes == .forward
  }

  /// The grace is over, or the race has something to do.
  func dialExpired(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if connection.pointee.phase == .met { prepareDialing(connection) }
    enqueue(slot, connection)
  }

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

  func giveUp(
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
