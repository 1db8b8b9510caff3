// What a worker has open, listed when the supervisor asks: the worker alone may look at its table.
import Core
import Linux
import Synchronization

/// The place where a worker leaves its list.
final class Census: @unchecked Sendable {
  /// Whose turn it is: the worker's while it is true. A worker that was too slow once still answers
  /// the old question, and nobody looks at the list while it is written.
  private let isAsked = Atomic<Bool>(false)
  private var views: [ConnectionView] = []

  /// By the supervisor, who wakes the worker then.
  func ask() { isAsked.store(true, ordering: .releasing) }

  /// By the supervisor: the list, once it is there.
  func take() -> [ConnectionView]? { isAsked.load(ordering: .acquiring) ? nil : views }

  fileprivate var awaitsAnswer: Bool { isAsked.load(ordering: .acquiring) }

  fileprivate func leave(_ views: [ConnectionView]) {
    self.views = views
    isAsked.store(false, ordering: .releasing)
  }
}

extension Worker {
  func answerCensus() {
    guard door.census.awaitsAnswer else { return }
    var oldest = OldestConnections()
    for slot in 0..<UInt32(table.slots) where table.isInUse(slot) {
      let connection = table.pointer(slot)
      guard oldest.wants(acceptedAt: connection.pointee.accepted) else { continue }
      oldest.add(view(of: connection))
    }
    door.census.leave(oldest.views)
    shared.supervisorWake.signal()
  }

  private func view(of connection: UnsafeMutablePointer<Connection>) -> ConnectionView {
    let relay = connection.pointee.relay
    return ConnectionView(
      id: connection.pointee.id, client: connection.pointee.clientEndpoint,
      address: upstreamEndpoint(of: connection)
        ?? connection.pointee.dialing?.failingEndpoint,
      forward: Int(connection.pointee.forward), acceptedAt: connection.pointee.accepted,
      lastMoved: connection.pointee.lastMoved, toTargetBytes: relay.toUpstreamBytes,
      toClientBytes: relay.toClientBytes, state: state(of: connection))
  }

  private func state(
    of connection: UnsafeMutablePointer<Connection>
  ) -> ConnectionView.State {
    switch connection.pointee.phase {
    case .accepted, .met: .accepted
    case .dialing: connection.pointee.dialing?.race == nil ? .resolving : .connecting
    case .relaying: connection.pointee.relay.viewState
    }
  }
}
