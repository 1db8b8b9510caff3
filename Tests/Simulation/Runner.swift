// Runs schedules in batches, each in a process of its own: what the daemon never frees goes with
// it, and a trap ends no more than the batch.
import Stacks

struct Runner {
  let first: UInt64
  let schedules: UInt64
  let jobs: Int
  /// So many end the run.
  let failures: UInt64

  private static let batch: UInt64 = 250
  /// Of wall time, for one schedule.
  private static let patience: UInt32 = 20

  /// What the processes share: a row of counts by state, and these, for each job, whose processes
  /// come one after another; so each row has one writer at a time. The last is the runner's own.
  private static let maxJobs = 64
  private static let width = 128
  private let shared = memory_shared((maxJobs + 1) * width * 8)!
    .assumingMemoryBound(to: UInt64.self)
  private static let done = 100
  private static let failed = 101
  private static let calls = 102
  private static let seed = 103

  init(first: UInt64, schedules: UInt64, jobs: Int, failures: UInt64) {
    self.first = first
    self.schedules = schedules
    self.failures = failures
    self.jobs = max(1, min(jobs, Self.maxJobs))
  }

  func run() -> Int32 {
    let began = wall_seconds()
    var next = first
    let end = first + schedules
    var running: [Int32: (job: Int, end: UInt64)] = [:]
    var free = Array(0..<jobs)
    while next < end || !running.isEmpty {
      while let job = free.last, next < end, total(Self.failed) < failures {
        free.removeLast()
        let last = min(next + Self.batch, end)
        running[begin(job, next, last)] = (job, last)
        next = last
      }
      guard !running.isEmpty else { break }
      var code: Int32 = 0
      guard let (job, last) = running.removeValue(forKey: process_wait(&code)) else { continue }
      let seed = row(job)[Self.seed]
      guard code != 0, total(Self.failed) < failures else {
        free.append(job)
        continue
      }
      row(Self.maxJobs)[Self.failed] += 1
      say("seed \(seed): the process ended with \(code): a trap, or a loop without a call\n")
      if seed + 1 < last {
        running[begin(job, seed + 1, last)] = (job, last)
      } else {
        free.append(job)
      }
    }
    return report(seconds: wall_seconds() - began)
  }

  private func begin(_ job: Int, _ from: UInt64, _ to: UInt64) -> Int32 {
    let child = process_fork()
    guard child == 0 else { return child }
    let own = row(job)
    for seed in from..<to where total(Self.failed) < failures {
      own[Self.seed] = seed
      process_watch(Self.patience)
      let schedule = simulate(seed, isTraced: false)
      own[Self.done] += 1
      own[Self.calls] += UInt64(schedule.calls)
      for state in Reach.allCases where schedule.reached >> UInt64(state.rawValue) & 1 == 1 {
        own[state.rawValue] += 1
      }
      guard let failure = schedule.failure else { continue }
      own[Self.failed] += 1
      say("seed \(seed): \(failure)\n")
    }
    process_exit(0)
    return 0
  }

  private func row(_ job: Int) -> UnsafeMutablePointer<UInt64> { shared + job * Self.width }

  /// Of all jobs.
  private func total(_ place: Int) -> UInt64 {
    (0...Self.maxJobs).reduce(0) { $0 + row($1)[place] }
  }

  private func say(_ text: String) { line_write(text, text.utf8.count) }

  private func report(seconds: Double) -> Int32 {
    let done = total(Self.done)
    let failed = total(Self.failed)
    var text = "schedules that came to:\n"
    var missing: [Reach] = []
    for state in Reach.allCases {
      let count = total(state.rawValue)
      text += "  \(state) \(count)\n"
      if count == 0 { missing.append(state) }
    }
    say(text)
    let rate = Int(Double(done) / seconds)
    say("\(done) schedules, \(total(Self.calls)) calls, \(Int(seconds)) s, \(rate) a second\n")
    guard failed == 0 else {
      say("\(failed) failed; to see one: make simulate SEED=...\n")
      return 1
    }
    // So few schedules need not come to everything.
    guard missing.isEmpty || done < 20_000 else {
      say("never came to: \(missing)\n")
      return 1
    }
    return 0
  }
}
