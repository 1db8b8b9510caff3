// A worker's numbers, for anybody to read at any time: plain stores by the one thread that owns
// them.
import Core
import Synchronization

/// Each forward's counts (Counts.swift) as one worker has them.
final class Counters: @unchecked Sendable {
  private let values: UnsafeMutablePointer<Atomic<UInt64>>

  init(forwards: Int) {
    values = .allocate(capacity: forwards * Count.places)
    for place in 0..<forwards * Count.places { (values + place).initialize(to: Atomic(0)) }
  }

  // There for as long as the process.
  deinit { values.deallocate() }

  /// By the owner alone: no other thread's addition is lost, because there is none.
  @inline(__always)
  func add(_ amount: UInt64, to place: Int, of forward: UInt16) {
    let index = Int(forward) &* Count.places &+ place
    values[index].store(values[index].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
  }

  func set(_ place: Int, of forward: UInt16, to value: UInt64) {
    values[Int(forward) * Count.places + place].store(value, ordering: .relaxed)
  }

  func value(_ place: Int, of forward: Int) -> UInt64 {
    values[forward * Count.places + place].load(ordering: .relaxed)
  }
}

extension Worker {
  func countFailure(_ failure: Failure, of forward: UInt16) {
    door.counters.add(1, to: Count.failure(failure), of: forward)
    door.counters.set(Count.lastCause, of: forward, to: UInt64(failure.cause))
    door.counters.set(
      Count.lastFailure, of: forward, to: UInt64(clamping: now.nanoseconds))
  }

  func countEstablished(of forward: UInt16, after span: Nanoseconds) {
    door.counters.add(1, to: Count.established, of: forward)
    door.counters.add(1, to: Count.connectTime(span), of: forward)
    door.counters.add(UInt64(span.count) / 1_000, to: Count.connectTimeSum, of: forward)
    door.counters.set(
      Count.lastSuccess, of: forward, to: UInt64(clamping: now.nanoseconds))
  }

  func countEnded(of forward: UInt16, _ ending: Relay.Verdict, after span: Nanoseconds) {
    door.counters.add(1, to: Count.ending(ending.endedBy, ending.reason), of: forward)
    door.counters.add(1, to: Count.duration(span), of: forward)
    door.counters.add(UInt64(span.count) / 1_000, to: Count.durationSum, of: forward)
    guard let churn = churn.end(after: span, share: shared.doors.count, now: now) else { return }
    sayChurn(churn)
  }

  /// Once an hour, whichever worker notices it.
  private func sayChurn(_ churn: ChurnWatch.Finding) {
    let next = shared.saysChurnAgain.load(ordering: .relaxed)
    guard logs(.info), next <= now.nanoseconds else { return }
    let later = now + .seconds(3_600)
    guard
      shared.saysChurnAgain.compareExchange(
        expected: next, desired: later.nanoseconds, ordering: .relaxed
      ).exchanged
    else { return }
    line.churnNoticed(churn, at: .now)
    queueLine()
  }
}
