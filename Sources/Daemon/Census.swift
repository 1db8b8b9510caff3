// What a worker has open, listed when the supervisor asks: the worker alone may look at its table.
import Core
import Linux
import Synchronization

/// The place where a worker leaves its list.
final class Census: @unchecked Sendable {
  private let isAsked = Atomic<Bool>(false)
  private let isThere = Atomic<Bool>(false)
  // Written by the worker before `isThere`, read by the supervisor after it.
  private var views: [ConnectionView] = []

  /// By the supervisor, who wakes the worker then.
  func ask() {
    isThere.store(false, ordering: .relaxed)
    isAsked.store(true, ordering: .releasing)
  }

  /// By the supervisor: the list, once it is there.
  func take() -> [ConnectionView]? { isThere.load(ordering: .acquiring) ? views : nil }

  /// By the worker: true once for each `ask`.
  fileprivate func takeAsked() -> Bool {
    guard isAsked.load(ordering: .relaxed) else { return false }
    return isAsked.exchange(false, ordering: .acquiring)
  }

  fileprivate func leave(_ views: [ConnectionView]) {
    self.views = views
    isThere.store(true, ordering: .releasing)
  }
}

extension Worker {
  func answerCensus() {
    guard door.census.takeAsked() else { return }
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
      address: connection.pointee.upstreamEndpoint
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
