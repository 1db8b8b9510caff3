// What follows from a name that leads elsewhere: clients that wait for its addresses go on, and
// connections to an address that is gone are ended as ON_TARGET_CHANGE says.
import Core
import Linux
import Synchronization

extension Worker {
  /// How long a connection must have moved nothing to be ended by `drain`: longer than most
  /// applications think between two statements of a transaction.
  private var restTime: Nanoseconds { .seconds(2) }
  /// Over how long `reset` is spread, so that clients do not all come back at once.
  private static let jitterMilliseconds: Int64 = 2_000

  /// The resolver has woken this worker.
  func followNames() {
    if names.takeAwaited() { resumeAwaiting() }
    guard settings.onTargetChange != .keep, let retired = names.takeRetired() else { return }
    for slot in 0..<UInt32(table.slots) where table.isInUse(slot) {
      let connection = table.pointer(slot)
      guard connection.pointee.phase == .relaying, !connection.pointee.isRetired,
        let cell = names.cell(ofForward: Int(connection.pointee.forward)),
        let lasting = retired[cell], !lasting.contains(connection.pointee.upstreamAddress)
      else { continue }
      retire(slot, connection)
    }
  }

  private func resumeAwaiting() {
    for slot in 0..<UInt32(table.slots) where table.isInUse(slot) {
      let connection = table.pointer(slot)
      guard connection.pointee.phase == .dialing else { continue }
      switch connection.pointee.dialing!.awaits {
      case .nothing: break
      case .firstAnswer, .answer: enqueue(slot, connection)
      }
    }
  }

  private func retire(_ slot: UInt32, _ connection: UnsafeMutablePointer<Connection>) {
    connection.pointee.isRetired = true
    switch settings.onTargetChange {
    case .keep: break
    case .drain: armTimer(slot, connection)
    case .reset:
      let delay = Int64(unguessableBits()) % Self.jitterMilliseconds
      let end = now + .milliseconds(delay)
      connection.pointee.withAside { $0.patienceEnds = min($0.patienceEnds, end) }
      armTimer(slot, connection)
    }
  }

  /// When a connection that is to be drained has rested for long enough; nil for all others.
  func retirementDeadline(_ connection: UnsafeMutablePointer<Connection>) -> Instant? {
    guard connection.pointee.isRetired, settings.onTargetChange == .drain else { return nil }
    return connection.pointee.lastMoved + restTime
  }

  /// Ends it in order if it rests, at its deadline.
  func endRetired(_ connection: UnsafeMutablePointer<Connection>) {
    guard connection.pointee.relay.isAtRest else { return }
    connection.pointee.relay.finish(.targetChanged)
  }

  /// Only where a change ends connections is it of interest how many there are.
  func countEstablished(_ change: Int, _ connection: UnsafeMutablePointer<Connection>) {
    guard settings.onTargetChange != .keep else { return }
    names.count(change, forward: Int(connection.pointee.forward))
  }
}
