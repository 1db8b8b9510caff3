// The end of a connection: what is said of it, and how its place is given back.
import Core
import Linux
import Synchronization

extension Worker {
  /// A call on its socket failed. What it had sent before is still read, and may begin with an
  /// urgent byte.
  func fail(
    _ end: End, _ error: Errno, _ connection: UnsafeMutablePointer<Connection>
  ) {
    if end == .upstream { setUpUpstream(connection) }
    connection.pointee.relay.fail(end, EndFailure(error))
  }

  /// Closes both ends, by resets when neither must take this for an orderly end, and says so.
  func close(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>, resets: Bool) {
    if resets {
      connection.pointee.client.resetOnClose()
      connection.pointee.upstream.resetOnClose()
      connection.pointee.dialing?.resetAttemptsOnClose()
    }
    if logs(.info) {
      let ending = connection.pointee.relay.ending
      let record = ConnectionRecord(
        id: connection.pointee.id, client: connection.pointee.clientEndpoint,
        upstream: upstreamEndpoint(of: connection),
        toTargetBytes: connection.pointee.relay.toUpstreamBytes,
        toClientBytes: connection.pointee.relay.toClientBytes,
        connectTime: Nanoseconds(count: Int64(connection.pointee.connectMicroseconds) * 1_000),
        duration: now - connection.pointee.accepted, endedBy: ending.endedBy,
        reason: ending.reason)
      line.connectionEnded(record, target: target(of: connection), at: .now)
      queueLine()
    }
    discard(slot)
  }

  /// Closes what the connection has, and gives its place to the next.
  func discard(_ slot: UInt32) {
    timers.clear(TimerKey.connection(slot))
    let connection = table.pointer(slot)
    door.counters.add(1, to: Count.gone, of: connection.pointee.forward)
    if connection.pointee.phase == .relaying {
      countEstablished(-1, connection)
      countEnded(
        of: connection.pointee.forward, connection.pointee.relay.ending,
        after: now - connection.pointee.accepted)
    }
    unload(connection)
    connection.pointee.aside?.toUpstream.freeStash()
    table.remove(slot)
    giveBackPlace()
  }

  /// An ended client is no load any more.
  func unload(_ connection: UnsafeMutablePointer<Connection>) {
    guard connection.pointee.isLoad else { return }
    connection.pointee.isLoad = false
    door.load.subtract(1, ordering: .relaxed)
  }
}
