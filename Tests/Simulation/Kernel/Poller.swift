// epoll(7): a list of what may be ready, looked at again when it is told of. An edge is told once
// for each change, whatever it was, with all that is true at that moment; no change is lost.
import CLinux

/// epoll's bits.
enum Ready {
  static let input = UInt32(LINUX_READABLE)
  static let urgent = UInt32(LINUX_URGENT)
  static let output = UInt32(LINUX_WRITABLE)
  static let error = UInt32(LINUX_ERROR)
  static let hangUp = UInt32(LINUX_HANG_UP)
  static let ended = UInt32(LINUX_PEER_ENDED)
  // Of an interest: how it is told.
  static let exclusive = UInt32(LINUX_EXCLUSIVE)
  static let edge = LINUX_EDGE_TRIGGERED
}

final class Poller: Object {
  private var ready: [Watch] = []
  private var waiting: Fiber?

  var isWaitedIn: Bool { waiting != nil }

  /// `atOnce` when it is added or changed: the kernel looks at it then and there.
  func hear(of watch: Watch, atOnce: Bool = false) {
    guard watch.object.readiness() & watch.asked != 0 else { return }
    guard !atOnce, sim.plan.delaysEvents > 0, sim.chance.one(in: sim.plan.delaysEvents) else {
      return queue(watch)
    }
    sim.reach(.delayedEvent)
    sim.after(.microseconds(sim.chance.scaled(1...3_000))) { [weak watch] in
      if let watch, watch.object.watches.contains(where: { $0 === watch }) {
        watch.poller.queue(watch)
      }
    }
  }

  private func queue(_ watch: Watch) {
    if !watch.isQueued {
      watch.isQueued = true
      ready.append(watch)
    }
    if let waiting { sim.wake(waiting) }
  }

  func forget(_ watch: Watch) {
    guard watch.isQueued else { return }
    watch.isQueued = false
    ready.removeAll { $0 === watch }
  }

  private func take(_ events: UnsafeMutablePointer<linux_event>) -> Int32 {
    let most = sim.plan.fewEvents ? sim.chance.number(1...4) : Int(LINUX_EVENTS_AT_ONCE)
    var count = 0
    var left: [Watch] = []
    let listed = ready
    ready = []
    for watch in listed {
      guard count < most else {
        left.append(watch)
        continue
      }
      watch.isQueued = false
      let bits = watch.object.readiness() & watch.asked
      guard bits != 0 else { continue }
      events[count].token = watch.token
      events[count].readiness = bits
      sim.trace("  event \(watch.object.number) bits \(String(bits, radix: 16))")
      count += 1
      if !watch.isEdge {
        watch.isQueued = true
        ready.append(watch)
      }
    }
    ready = left + ready
    return Int32(count)
  }

  func wait(_ events: UnsafeMutablePointer<linux_event>, _ milliseconds: Int32) -> Int32 {
    let slack = Time(sim.chance.next() % 60_000)
    let deadline =
      milliseconds < 0 ? Time.never : sim.now + .milliseconds(Int(milliseconds)) + slack
    spurious()
    while true {
      let count = take(events)
      if count > 0 || milliseconds == 0 { return count }
      if sim.plan.interrupts > 0, sim.chance.one(in: sim.plan.interrupts) {
        sim.reach(.interruptedWait)
        return 0
      }
      waiting = sim.current
      let isWoken = sim.wait(until: deadline)
      waiting = nil
      if !isWoken { return take(events) }
    }
  }

  /// An edge without a cause: of what is watched, something is told again.
  private func spurious() {
    guard sim.plan.spuriousEvents > 0, sim.chance.one(in: sim.plan.spuriousEvents) else { return }
    let all = sim.kernel.table.compactMap { $0 }.flatMap { object in
      object.watches.filter { $0.poller === self && $0.isEdge }
    }
    guard !all.isEmpty else { return }
    sim.reach(.spuriousEvent)
    queue(sim.chance.pick(all))
  }

  override func close() {
    for object in sim.kernel.table {
      if let object { _ = sim.kernel.unwatch(self, object) }
    }
  }
}
