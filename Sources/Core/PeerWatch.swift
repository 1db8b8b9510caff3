// Telling a peer that has vanished from one that only does not read. TCP_USER_TIMEOUT alone cannot:
// the kernel ends a live connection, too, whose peer keeps its window closed for that long
// (tcp_timer.c).

/// The keepalive times that follow from PEER_TIMEOUT.
public struct PeerTimes: Equatable, Sendable {
  public let keepaliveIdleSeconds: Int32
  public let keepaliveIntervalSeconds: Int32
  public let userTimeoutMilliseconds: Int32
  /// How often a connection with bytes on the way is looked at: often enough that a closed window
  /// is seen before the user timeout ends.
  public let checkInterval: Nanoseconds

  /// Idle for a third of the time, a probe each sixth, and gone after two thirds without an
  /// answer: bytes sent just before the first probe add a third, and all of it stays within. Below
  /// two seconds the kernel's whole seconds make it two (tcp(7)).
  public init(peerTimeout: Nanoseconds) {
    let milliseconds = peerTimeout.wholeMilliseconds
    keepaliveIdleSeconds = Int32(max(1, milliseconds / 3_000))
    keepaliveIntervalSeconds = Int32(max(1, milliseconds / 6_000))
    userTimeoutMilliseconds = Int32(milliseconds * 2 / 3)
    checkInterval = .milliseconds(max(50, milliseconds / 6))
  }
}

/// What to do about one end that has bytes on the way to it.
public enum PeerVerdict: Equatable, Sendable {
  case nothing
  /// The window is closed and somebody answers the probes: take the user timeout off.
  case liftUserTimeout
  case restoreUserTimeout
  /// The window was closed, and nobody answers the probes any more.
  case vanished
}

/// `isWindowClosed`: the peer's window takes nothing. `isLifted`: the user timeout is off.
public func judgePeer(
  isWindowClosed: Bool, probesUnanswered: Int, sinceAcknowledgement: Nanoseconds,
  isLifted: Bool, peerTimeout: Nanoseconds
) -> PeerVerdict {
  guard isWindowClosed else { return isLifted ? .restoreUserTimeout : .nothing }
  // Two probes out: the first of them went a whole probe interval without an answer.
  let isSilent = probesUnanswered >= 2 && sinceAcknowledgement > peerTimeout
  if isSilent { return .vanished }
  return isLifted ? .nothing : .liftUserTimeout
}
