// Time's part in a connection: idle ends, bounded patience, and telling a vanished peer from a slow
// one. A connection that idles has no timer at all, unless IDLE_TIMEOUT asks for one.
import Core
import Linux

/// The keys of a worker's timers.
enum TimerKey {
  static let resumeAccepting: UInt32 = 0
  static let fold: UInt32 = 1
  static let trimPipes: UInt32 = 2
  private static let firstConnection: UInt32 = 3

  static func connection(_ slot: UInt32) -> UInt32 { slot + firstConnection }
  static func slot(_ key: UInt32) -> UInt32 { key - firstConnection }
}

extension Worker {
  func expire(_ key: UInt32) {
    switch key {
    case TimerKey.resumeAccepting: resumeAccepting()
    case TimerKey.fold: reportFolded(now)
    case TimerKey.trimPipes:
      pipes.trim()
      schedulePipeTrim()
    case _:
      let slot = TimerKey.slot(key)
      let connection = table.pointer(slot)
      switch connection.pointee.phase {
      case .accepted, .met, .dialing: dialExpired(slot, connection)
      case .relaying: relayExpired(slot, connection)
      }
    }
  }

  /// Free pipes are kept for the next bulk transfer, but not for long.
  func schedulePipeTrim() {
    guard pipes.hasFree && !timers.isSet(TimerKey.trimPipes) else { return }
    timers.set(TimerKey.trimPipes, now + .seconds(1))
  }

  private func relayExpired(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    if let idle = settings.idleTimeout, connection.pointee.lastMoved + idle <= now {
      connection.pointee.relay.abort(.idleTimeout)
    } else if connection.pointee.patienceEnds <= now {
      let isRetired = connection.pointee.isRetired && !connection.pointee.relay.hasFailed
      connection.pointee.relay.abort(isRetired ? .targetChanged : .error)
    } else {
      if let rested = retirementDeadline(connection), rested <= now { endRetired(connection) }
      if connection.pointee.accepted + peerTimes.checkInterval <= now { setUpUpstream(connection) }
      let isOnTheWay = watchPeers(connection)
      let isRecent = now < connection.pointee.lastMoved + peerTimes.checkInterval
      connection.pointee.relay.recheckDelivery()
      if isOnTheWay || isRecent || settings.idleTimeout != nil
        || connection.pointee.isRetired
      {
        armTimer(slot, connection, watches: isOnTheWay || isRecent)
      }
    }
    enqueue(slot, connection)
  }

  /// Sets the timer to the earliest moment at which something is to be looked at.
  func armTimer(
    _ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, watches: Bool = true
  ) {
    var deadline = watches ? now + peerTimes.checkInterval : Instant.never
    if let idle = settings.idleTimeout {
      deadline = min(deadline, connection.pointee.lastMoved + idle)
    }
    if connection.pointee.relay.hasFailed && connection.pointee.patienceEnds == .never {
      let end = now + settings.peerTimeout
      connection.pointee.withAside { $0.patienceEnds = end }
    }
    deadline = min(deadline, connection.pointee.patienceEnds)
    if let rested = retirementDeadline(connection) {
      deadline = min(deadline, max(rested, now + .milliseconds(100)))
    }
    if connection.pointee.relay.isDelivering {
      deadline = min(deadline, connection.pointee.withAside { $0.nextDeliveryCheck(now) })
    }
    timers.set(TimerKey.connection(slot), deadline)
  }

  /// Gives the target's socket the options that clients' sockets inherit from the listener: after
  /// the first check interval, which short connections do not live to see, or when urgent bytes may
  /// come. Keepalive begins later in any case, and the user timeout counts from the oldest byte on
  /// the way, whenever it is set.
  func setUpUpstream(_ connection: UnsafeMutablePointer<Connection>) {
    guard !connection.pointee.isUpstreamSetUp else { return }
    connection.pointee.isUpstreamSetUp = true
    connection.pointee.upstream.setUp(KeepaliveTimes(peerTimes))
  }

  // MARK: Peers

  /// True while either end has bytes on the way to it.
  private func watchPeers(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
    var (isClientLifted, isUpstreamLifted) = connection.pointee.withAside {
      ($0.isClientLifted, $0.isUpstreamLifted)
    }
    let client = watchPeer(connection.pointee.client, &isClientLifted)
    let upstream = watchPeer(connection.pointee.upstream, &isUpstreamLifted)
    connection.pointee.withAside {
      ($0.isClientLifted, $0.isUpstreamLifted) = (isClientLifted, isUpstreamLifted)
    }
    if client == .vanished { connection.pointee.relay.fail(.client, .vanished) }
    if upstream == .vanished { connection.pointee.relay.fail(.upstream, .vanished) }
    return client != .nothingOnTheWay || upstream != .nothingOnTheWay
  }

  private enum Watched {
    case nothingOnTheWay, onTheWay, vanished
  }

  private func watchPeer(_ socket: borrowing Socket, _ isLifted: inout Bool) -> Watched {
    guard isLifted || socket.unacknowledgedBytes() > 0 else { return .nothingOnTheWay }
    guard let state = socket.sendState() else { return .nothingOnTheWay }
    let verdict = judgePeer(
      isWindowClosed: state.unsentBytes > 0 && state.segmentsInFlight == 0
        || state.windowBytes == 0,
      probesUnanswered: state.probesUnanswered,
      sinceAcknowledgement: .milliseconds(state.millisecondsSinceAcknowledgement),
      isLifted: isLifted, peerTimeout: settings.peerTimeout)
    switch verdict {
    case .nothing: break
    case .liftUserTimeout:
      socket.setUserTimeout(milliseconds: 0)
      isLifted = true
    case .restoreUserTimeout:
      socket.setUserTimeout(milliseconds: peerTimes.userTimeoutMilliseconds)
      isLifted = false
    case .vanished: return .vanished
    }
    return .onTheWay
  }
}
