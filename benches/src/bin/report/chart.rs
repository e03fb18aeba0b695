//! Horizontal bars in groups, drawn as SVG.

use std::fs;
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::text;

/// One bar.
pub(crate) struct Bar {
    /// Whose it is.
    pub(crate) label: String,
    /// How long it is.
    pub(crate) value: f64,
    /// What is written behind it.
    pub(crate) text: String,
    /// Its colour.
    pub(crate) color: RGBColor,
}

/// Bars that are compared with each other.
pub(crate) struct Group {
    /// What stands above them.
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) bars: Vec<Bar>,
}

/// Groups over one axis.
pub(crate) struct Panel {
    /// What stands above the panel.
    pub(crate) title: String,
    /// From top to bottom.
    pub(crate) groups: Vec<Group>,
}

/// Where bars start, and how their length grows.
#[derive(Clone, Copy)]
pub(crate) enum Axis {
    /// From zero.
    Linear,
    /// From the edge, by the logarithm.
    Log,
    /// From one, by the logarithm: to the left for less, to the right for more.
    LogFromOne,
}

/// A drawing of its own.
pub(crate) struct Chart {
    /// What stands above all.
    pub(crate) title: &'static str,
    /// What the axis says, with the unit.
    pub(crate) unit: &'static str,
    /// How bars are drawn.
    pub(crate) axis: Axis,
    /// From left to right.
    pub(crate) panels: Vec<Panel>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// Pixels for a bar and the space around it.
const ROW: u32 = 20;
/// Pixels for what is around the rows of a panel.
const AROUND: u32 = 120;
/// Pixels for the labels of bars.
const LABELS: u32 = 150;
/// Pixels for a panel with its labels.
const PANEL: u32 = 490;
/// Parts of a row that a bar fills.
const FILL: f64 = 0.76;

impl Panel {
    /// How many rows the panel has: one for each bar and each title, and half a one for a gap.
    fn rows(&self) -> f64 {
        self.groups.iter().map(|group| group.bars.len() as f64 + 1.5).sum()
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value)
    }
}

impl Chart {
    /// Draws the chart, unless there is nothing to draw; says whether there was.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn draw(mut self, path: &Path) -> Result<bool> {
        for panel in &mut self.panels {
            panel.groups.retain(|group| !group.bars.is_empty());
        }
        self.panels.retain(|panel| !panel.groups.is_empty());
        if self.panels.is_empty() {
            return Ok(false);
        }
        let mut svg = String::new();
        self.draw_on(&mut svg)?;
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, svg)?;
        Ok(true)
    }

    fn draw_on(&self, svg: &mut String) -> Result<()> {
        let rows = self.panels.iter().map(Panel::rows).fold(0.0, f64::max);
        let panels = u32::try_from(self.panels.len())?;
        let wide = if panels == 1 { 760 } else { PANEL * panels };
        let height = (0..).find(|height| f64::from(*height) >= rows * f64::from(ROW));
        let size = (wide, height.unwrap_or_default() + AROUND);

        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let area = root.titled(self.title, (FONT, 17).into_font().color(&BLACK))?;
        let areas = area.split_evenly((1, self.panels.len()));
        for (panel, area) in self.panels.iter().zip(areas) {
            let most = panel.values().fold(0.0, f64::max);
            let least = panel.values().fold(f64::INFINITY, f64::min);
            match self.axis {
                Axis::Linear => {
                    let axis = 0.0..most * 1.18;
                    self.draw_panel(&root, &area, (panel, rows), axis, 0.0)?;
                }
                Axis::Log => {
                    let edge = least / 2.0;
                    let axis = (edge..most * (most / edge).powf(0.18)).log_scale();
                    self.draw_panel(&root, &area, (panel, rows), axis, edge)?;
                }
                Axis::LogFromOne => {
                    // Up to 10 at least, so that the axis has more than one number.
                    let (low, high) = (least.min(1.0), most.max(10.0));
                    let margin = (high / low).powf(0.12);
                    let axis = (low / margin..high * margin).log_scale();
                    self.draw_panel(&root, &area, (panel, rows), axis, 1.0)?;
                }
            }
        }
        root.present()?;
        Ok(())
    }

    /// Draws a panel with room for so many rows, and bars that start at `origin`.
    fn draw_panel<X>(
        &self,
        root: &Area<'_>,
        area: &Area<'_>,
        (panel, rows): (&Panel, f64),
        axis: X,
        origin: f64,
    ) -> Result<()>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, (FONT, 14).into_font().color(&BLACK))
            .margin_right(14)
            .x_label_area_size(44)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(axis, 0.0..rows)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_labels(6)
            .x_label_formatter(&|value| text::plain(*value))
            .x_desc(self.unit)
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 12))
            .draw()?;

        // From the top down; the axis counts from below.
        let mut top = rows;
        for group in &panel.groups {
            let at = chart.backend_coord(&(origin, top - 0.6));
            let left = area.get_pixel_range().0.start + 8;
            write(root, &group.title, (left, at.1), FontStyle::Bold, HPos::Left)?;
            top -= 1.0;
            for bar in &group.bars {
                let (upper, lower) = (top - (1.0 - FILL) / 2.0, top - (1.0 + FILL) / 2.0);
                let corners = [(origin, upper), (bar.value, lower)];
                chart.draw_series([Rectangle::new(corners, bar.color.filled())])?;
                let middle = top - 0.5;
                let from = chart.plotting_area().get_pixel_range().0.start;
                let (end, y) = chart.backend_coord(&(bar.value.max(origin), middle));
                write(root, &bar.label, (from - 8, y), FontStyle::Normal, HPos::Right)?;
                write(root, &bar.text, (end + 5, y), FontStyle::Normal, HPos::Left)?;
                top -= 1.0;
            }
            top -= 0.5;
        }
        let line = [(origin, 0.0), (origin, rows)];
        chart.draw_series([PathElement::new(line, RGBColor(90, 90, 90))])?;
        Ok(())
    }
}

/// Writes a line of text beside a point.
fn write(root: &Area<'_>, text: &str, at: (i32, i32), style: FontStyle, side: HPos) -> Result<()> {
    let font = (FONT, 12, style).into_text_style(root).pos(Pos::new(side, VPos::Center));
    root.draw(&Text::new(text.to_owned(), at, font))?;
    Ok(())
}
