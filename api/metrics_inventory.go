package api

import "github.com/prometheus/client_golang/prometheus"

// watchInventory registers what operators are to be warned by: an edit of the
// inventory that was not taken above all.
func (m *metrics) watchInventory(status func() InventoryStatus) error {
	gauge := func(name, help string, value func(InventoryStatus) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(status()) })
	}
	for _, c := range []prometheus.Collector{
		gauge("tfw_inventory_hosts", "Hosts of the inventory in use.", func(s InventoryStatus) float64 { return float64(s.Hosts) }),
		gauge("tfw_inventory_groups", "Groups of the inventory in use.", func(s InventoryStatus) float64 { return float64(s.Groups) }),
		gauge("tfw_inventory_edit_refused", "1 while the last edit of the inventory is not in use because of its mistakes.", func(s InventoryStatus) float64 {
			if s.Problem != "" {
				return 1
			}
			return 0
		}),
		gauge("tfw_inventory_loaded_timestamp_seconds", "When the inventory in use was read.", func(s InventoryStatus) float64 { return float64(s.Loaded.UnixMilli()) / 1000 }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "tfw_inventory_reloads_total", Help: "Edits of the inventory that were taken."},
			func() float64 { return float64(status().Reloads) }),
	} {
		if err := m.registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}
